from django.urls import path

from minions.views import attachments, chat, limits, pages, profile, turns

app_name = "minions"
urlpatterns = [
    path("minions/", pages.minion_list, name="minion-list"),
    path("minions/new/", pages.minion_add, name="minion-add"),
    path("minions/<uuid:minion_id>/", pages.minion_detail, name="minion-detail"),
    path("minions/<uuid:minion_id>/edit/", pages.minion_edit, name="minion-edit"),
    path("minions/<uuid:minion_id>/delete/", pages.delete_minion, name="minion-delete"),
    path("minions/<uuid:minion_id>/token/", pages.make_token, name="minion-token"),
    path("minions/<uuid:minion_id>/token/end/", pages.end_token, name="minion-token-end"),
    path("minions/<uuid:minion_id>/limits/", limits.set_limit, name="minion-limit"),
    path(
        "minions/<uuid:minion_id>/limits/<uuid:budget_id>/remove/",
        limits.remove_limit,
        name="minion-limit-remove",
    ),
    path("minions/<uuid:minion_id>/pace/", limits.set_pace, name="minion-pace"),
    path("minions/<uuid:minion_id>/improve/", pages.improve, name="minion-improve"),
    path("minions/<uuid:minion_id>/chat/", chat.begin, name="chat-begin"),
    path("chat/", chat.conversation_list, name="conversation-list"),
    path("chat/<uuid:conversation_id>/", chat.conversation, name="conversation"),
    path("chat/<uuid:conversation_id>/turns/", chat.turns, name="conversation-turns"),
    path("chat/<uuid:conversation_id>/side/", chat.side, name="conversation-side"),
    path("chat/<uuid:conversation_id>/rename/", chat.rename_conversation, name="conversation-rename"),
    path("chat/<uuid:conversation_id>/ask/", chat.ask, name="conversation-ask"),
    path("chat/<uuid:conversation_id>/attach/", attachments.attach, name="conversation-attach"),
    path("chat/<uuid:conversation_id>/attached/", attachments.attached, name="conversation-attached"),
    path("chat/<uuid:conversation_id>/look-up/", attachments.look_up, name="conversation-look-up"),
    path("chat/<uuid:conversation_id>/delete/", chat.delete_conversation, name="conversation-delete"),
    path("chat/messages/<uuid:message_id>/again/", chat.ask_again, name="message-again"),
    path("chat/messages/<uuid:message_id>/change/", chat.change_question, name="message-change"),
    path("chat/messages/<uuid:message_id>/show/", turns.show_branch, name="message-show"),
    path("chat/messages/<uuid:message_id>/trace/", turns.trace, name="message-trace"),
    path("chat/messages/<uuid:message_id>/rate/", turns.rate, name="message-rate"),
    path("chat/messages/<uuid:message_id>/edit/", turns.edit, name="message-edit"),
    path("chat/messages/<uuid:message_id>/pick/", turns.pick, name="message-pick"),
    path("settings/experience/", profile.profile, name="profile"),
]
