"""The catalogue in the staff pages: what is said about agents, their drafts, and publishing."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.availability import normalise_owner_domains
from agents.enums import VersionState
from agents.models import Agent, AgentVersion
from agents.services.versions import CONTENT, VersionError, publish_draft, restore_version, save_draft

_FORM_FIELDS = forms.fields_for_model(AgentVersion, fields=[*CONTENT, "note"])


class AgentAdminForm(forms.ModelForm):  # type: ignore[type-arg]
    """An agent, with what its draft says: shown from the draft if there is one, else from what is published."""

    class Meta:
        model = Agent
        fields = [
            "name",
            "slug",
            "specialty",
            "description",
            "owner_domains",
            "telephony_only",
            "is_moderator",
            "is_active",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        version = (self.instance.draft or self.instance.published) if self.instance.pk else None
        for name in (*CONTENT, "note"):
            self.fields[name] = _FORM_FIELDS[name]
            if version is not None and name != "note":
                self.initial[name] = getattr(version, name)
        self.fields["prompt"].widget.attrs["rows"] = 20

    def content(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in (*CONTENT, "note")}


class VersionInline(admin.TabularInline):  # type: ignore[type-arg]
    model = AgentVersion
    fk_name = "agent"
    fields = ("number", "state", "note", "created_by", "created_at", "published_at")
    readonly_fields = fields
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Agent)
class AgentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = AgentAdminForm
    list_display = ["name", "specialty", "who_may_use_it", "is_moderator", "telephony_only", "is_active", "version"]
    list_filter = ["is_active", "is_moderator", "telephony_only"]
    list_select_related = ["published", "owner"]
    search_fields = ["name", "slug", "specialty"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [VersionInline]
    actions = ["publish"]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return AgentAdminForm

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (None, {"fields": AgentAdminForm.Meta.fields}),
            ("What it is: saved as a draft, to be published", {"fields": [*CONTENT, "note"]}),
        ]

    @admin.display(description="available to")
    def who_may_use_it(self, agent: Agent) -> str:
        if agent.owner is not None:
            return f"{agent.owner.name} (its own)"
        return ", ".join(normalise_owner_domains(agent.owner_domains)) or "everybody"

    @admin.display(description="version", ordering="published__number")
    def version(self, agent: Agent) -> str:
        draft = agent.draft
        parts = [str(agent.published.number) if agent.published else "none", f"draft {draft.number}" if draft else ""]
        return ", ".join(filter(None, parts))

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change or set(form.changed_data) & {*CONTENT, "note"}:
            save_draft(agent=obj, values=form.content(), by=request.user)  # type: ignore[arg-type]

    @admin.action(description="Publish the drafts", permissions=["change"])
    def publish(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        for agent in queryset:
            try:
                version = publish_draft(agent=agent, by=request.user)  # type: ignore[arg-type]
            except VersionError as error:
                self.message_user(request, f"{agent}: {error}", messages.WARNING)
            else:
                self.message_user(request, f"{version} is in use.")


@admin.register(AgentVersion)
class AgentVersionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """To read, and to go back to. Versions change in no other way."""

    list_display = ["__str__", "state", "note", "created_by", "created_at", "published_at"]
    list_filter = ["state"]
    list_select_related = ["agent", "created_by"]
    search_fields = ["agent__name", "note"]
    actions = ["restore"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("agents.change_agent")

    @admin.action(description="Use it again", permissions=["restore"])
    def restore(self, request: HttpRequest, queryset: QuerySet[AgentVersion]) -> None:
        for version in queryset.filter(state=VersionState.FORMER):
            copy = restore_version(version=version, by=request.user)  # type: ignore[arg-type]
            self.message_user(request, f"{copy} is in use.")
