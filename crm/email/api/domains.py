"""REST: sending domains, for owners and admins."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm.email.domainnames import LONGEST_INPUT
from crm.email.models import EmailDomain
from crm.email.services import domains as services
from crm.email.services.domains import DomainError, TooSoonError
from tenants.enums import Scope
from tenants.idempotency import idempotent
from tenants.models import User
from tenants.permissions import IsManager


class DnsRecordSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    type = serializers.CharField(help_text="CNAME, TXT or MX.")
    host = serializers.CharField(help_text="The record's full name.")
    value = serializers.CharField(source="data")
    valid = serializers.BooleanField(allow_null=True, help_text="null: not looked at yet.")
    reason = serializers.CharField(help_text="The provider's words, when it is not valid.")


class SendingDomainSerializer(serializers.ModelSerializer[EmailDomain]):
    domain = serializers.CharField(max_length=LONGEST_INPUT, help_text="Given back as DNS has it: IDN begins with xn--.")
    records = DnsRecordSerializer(many=True, read_only=True)

    class Meta:
        model = EmailDomain
        fields = [
            "id",
            "domain",
            "state",
            "records",
            "error",
            "checks",
            "checked_at",
            "next_check_at",
            "check_until",
            "verified_at",
            "lost_at",
            "created_at",
        ]
        read_only_fields = [name for name in fields if name != "domain"]


_BODYLESS = extend_schema(request=None, responses={202: SendingDomainSerializer})


class SendingDomainViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[EmailDomain]):
    """Entered here, registered and checked in the background: watch `state`."""

    serializer_class = SendingDomainSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.EMAIL_READ, "write": Scope.EMAIL_WRITE}
    queryset = EmailDomain.objects.all()

    @property
    def _actor(self) -> User:
        return cast("User", self.request.user)

    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            domain = services.create_domain(domain=serializer.validated_data["domain"], by=self._actor)
        except DomainError as error:
            raise _refusal(error) from None
        return Response(self.get_serializer(domain).data, status=status.HTTP_201_CREATED)

    @_BODYLESS
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """It is not used any more from now on; the row goes when the provider has forgotten it too."""
        domain = self.get_object()
        services.remove_domain(domain=domain, by=self._actor)
        return self._accepted(domain)

    @_BODYLESS
    @action(detail=True, methods=["post"])
    def check(self, request: Request, pk: str) -> Response:
        """Have it looked at now; at most every ten seconds. Also begins again with one whose time was over."""
        domain = self.get_object()
        try:
            services.check_now(domain=domain, by=self._actor)
        except TooSoonError as error:
            raise exceptions.Throttled(wait=error.wait_s) from None
        except DomainError as error:
            raise _refusal(error) from None
        return self._accepted(domain)

    def _accepted(self, domain: EmailDomain) -> Response:
        current = EmailDomain.objects.filter(pk=domain.pk).first() or domain  # it may be gone already
        return Response(self.get_serializer(current).data, status=status.HTTP_202_ACCEPTED)


def _refusal(error: DomainError) -> serializers.ValidationError:
    return serializers.ValidationError({error.field or "non_field_errors": [str(error)]})
