"""What a server does, in words."""

from django import template

from serving.work_details import load_words

register = template.Library()
register.filter("load_words", load_words)
