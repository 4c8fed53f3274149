from .answers import ENDED, AnswerStatus, AnswerTrace, Source
from .conversations import MOVES, Attachment, Conversation, Message, Role, Writing
from .feedback import Feedback, FeedbackKind
from .minions import AdapterRole, Choosing, Minion, MinionToken, MinionVersion, Mode, OnFailure

__all__ = [
    "ENDED", "MOVES", "AdapterRole", "AnswerStatus", "AnswerTrace", "Attachment", "Choosing", "Conversation",
    "Feedback", "FeedbackKind", "Message", "Minion", "MinionToken", "MinionVersion", "Mode", "OnFailure", "Role",
    "Source", "Writing",
]  # fmt: skip
