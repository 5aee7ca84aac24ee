"""Web pages for password resets and unsubscribe links."""

from django.urls import path

from api.accounts import pages
from api.accounts.unsubscribe import UnsubscribeView

PAGE, FORM = ["get", "head"], ["get", "head", "post"]

urlpatterns = [
    # Django's login page links to this name.
    path(
        "accounts/password-reset/", pages.PasswordResetView.as_view(http_method_names=FORM), name="admin_password_reset"
    ),
    path(
        "accounts/password-reset/sent/",
        pages.PasswordResetSentView.as_view(http_method_names=PAGE),
        name="password-reset-sent",
    ),
    path(
        "accounts/password-reset/confirm/<uidb64>/<token>/",
        pages.PasswordResetConfirmView.as_view(http_method_names=FORM),
        name="password-reset-confirm",
    ),
    path(
        "accounts/password-reset/done/",
        pages.PasswordResetCompleteView.as_view(http_method_names=PAGE),
        name="password-reset-complete",
    ),
    path("unsubscribe/<str:token>/", UnsubscribeView.as_view(), name="unsubscribe"),
]
