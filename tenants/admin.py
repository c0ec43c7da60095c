"""The staff pages: organisations, their domains, people and numbers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from tenants.accounts import replace_address
from tenants.forms import NewTenantForm
from tenants.models import ApiToken, AuditEvent, Domain, Invitation, Membership, PhoneNumber, SpokenText, Tenant, User
from tenants.services.numbers import announce
from tenants.services.tenants import TenantError, activate_tenant, create_tenant, deactivate_tenant, delete_tenant

admin.site.site_header = "Thanotopolis"
admin.site.site_title = "Thanotopolis staff"
admin.site.index_title = "The installation"
admin.site.unregister(Group)


class DomainInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Domain
    extra = 0


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Membership
    extra = 0
    autocomplete_fields = ["user"]


@admin.register(Tenant)
class TenantAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "primary_domain", "is_active", "max_concurrent_calls", "created_at"]
    list_filter = ["is_active", "created_at"]
    search_fields = ["name", "domains__domain", "schema_name"]
    readonly_fields = ["schema_name", "is_active", "created_at"]
    fields = ["name", "schema_name", "is_active", "time_zone", "max_concurrent_calls", "created_at"]
    inlines = [DomainInline, MembershipInline]
    actions = ["switch_off", "switch_on", "export_and_delete"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        return Tenant.objects.real().prefetch_related("domains")  # type: ignore[no-any-return]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # deleting exports first: the action does it

    def has_drop_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tenants.delete_tenant")

    def get_urls(self) -> list[Any]:
        return [path("add/", self.admin_site.admin_view(self.create), name="tenants_tenant_add"), *super().get_urls()]

    def create(self, request: HttpRequest) -> HttpResponse:
        """Make an organisation, schema and all, instead of a bare row."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewTenantForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                tenant = create_tenant(**form.cleaned_data, actor=_user(request))
            except TenantError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, f"{tenant.name} is ready.")
                return redirect("admin:tenants_tenant_change", tenant.pk)
        context = {**self.admin_site.each_context(request), "form": form, "title": "Add organisation", "opts": self.opts}
        return TemplateResponse(request, "admin/simple_form.html", context, status=422 if form.errors else 200)

    @admin.action(permissions=["change"], description="Switch off: ends calls and sign-ins at once")
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        for tenant in queryset:
            deactivate_tenant(tenant=tenant, actor=_user(request))

    @admin.action(permissions=["change"], description="Switch on")
    def switch_on(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        for tenant in queryset:
            activate_tenant(tenant=tenant, actor=_user(request))

    @admin.action(permissions=["drop"], description="Export, then delete for good")
    def export_and_delete(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> HttpResponse | None:
        if request.POST.get("confirm") != "yes":
            context = {**self.admin_site.each_context(request), "tenants": queryset, "title": "Delete organisations"}
            return TemplateResponse(request, "admin/delete_tenants.html", context)
        for tenant in queryset:
            export = delete_tenant(tenant=tenant, actor=_user(request))
            messages.success(request, f"{tenant.name} is deleted. Its data is in {export.name}, in the exports folder.")
        return None


def _user(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


@admin.register(Domain)
class DomainAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["domain", "tenant", "is_primary"]
    list_select_related = ["tenant"]
    search_fields = ["domain", "tenant__name"]
    list_filter = ["is_primary"]


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]
    list_display = ["email", "name", "is_active", "is_staff", "date_joined"]
    list_filter = ["is_staff", "is_superuser", "is_active"]
    search_fields = ["email", "name"]
    ordering = ["email"]
    readonly_fields = ["date_joined", "last_login"]
    filter_horizontal = ["user_permissions"]
    fieldsets = (
        (None, {"fields": ("email", "password", "name")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "name", "password1", "password2")}),)
    inlines = [MembershipInline]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "email" in form.changed_data:
            replace_address(obj)


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["user", "tenant", "role", "created_at"]
    list_select_related = ["user", "tenant"]
    list_filter = ["role"]
    search_fields = ["user__email", "tenant__name"]
    autocomplete_fields = ["user", "tenant"]


@admin.register(Invitation)
class InvitationAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["email", "tenant", "role", "created_at", "expires_at", "accepted_at"]
    list_select_related = ["tenant"]
    list_filter = ["role"]
    search_fields = ["email", "tenant__name"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # an invitation without its e-mail is of no use

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """To look at; tokens are made, and taken back, by the organisation itself, or end with a membership."""

    list_display = ["name", "tenant", "prefix", "created_by", "created_at", "last_used_at", "expires_at", "revoked_at"]
    list_select_related = ["tenant", "created_by"]
    list_filter = ["created_at", "revoked_at"]
    search_fields = ["name", "prefix", "tenant__name", "created_by__email"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(PhoneNumber)
class PhoneNumberAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["number", "tenant", "is_active", "twilio_sid", "created_at"]
    list_select_related = ["tenant"]
    list_filter = ["is_active"]
    search_fields = ["number", "tenant__name"]
    autocomplete_fields = ["tenant"]
    readonly_fields = ["twilio_sid", "created_at"]
    change_list_template = "admin/phone_numbers.html"

    def save_model(self, request: HttpRequest, obj: PhoneNumber, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        announce(obj)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "buy_url": reverse("staff-numbers")})


@admin.register(SpokenText)
class SpokenTextAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["key", "text", "language", "voice"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AuditEvent)
class AuditEventAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["at", "action", "tenant_name", "actor", "target", "ip_address"]
    list_select_related = ["actor"]
    list_filter = ["action", "at"]
    search_fields = ["tenant_name", "actor__email", "target"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
