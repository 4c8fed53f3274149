from django.utils.deprecation import MiddlewareMixin


class UserTimeZone(MiddlewareMixin):
    pass


user_time_zone = UserTimeZone
