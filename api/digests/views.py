"""/api/digests/."""

from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.digests import rendering, service
from api.rest.serializers import EmptySerializer
from api.rest.views import RuledAPIView


class DigestPreviewSerializer(serializers.Serializer[dict[str, str | None]]):
    subject = serializers.CharField(allow_null=True, help_text="null if the digest is empty.")
    text_body = serializers.CharField()
    html_body = serializers.CharField()


class DigestPreviewView(RuledAPIView):
    rules: ClassVar = {"post": "account.use"}

    @extend_schema(operation_id="digests_preview", request=EmptySerializer, responses=DigestPreviewSerializer)
    def post(self, request: Request) -> Response:
        """Return your daily digest as it would be now. No email is sent."""
        self.validated_body(EmptySerializer)
        digest = service.digest_of(self.actor, now=timezone.now())
        if digest is None:
            return Response({"subject": None, "text_body": "", "html_body": ""})
        draft = rendering.build_digest_mail(digest, once_key=None)
        return Response({"subject": draft.subject, "text_body": draft.text_body, "html_body": draft.html_body})
