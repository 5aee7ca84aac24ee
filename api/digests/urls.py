"""Pages that mails point to."""

from django.urls import path

from api.digests.unsubscribe import UnsubscribeView

urlpatterns = [path("unsubscribe/<str:token>/", UnsubscribeView.as_view(), name="digest-unsubscribe")]
