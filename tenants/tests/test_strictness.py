import pytest
from django.http import QueryDict
from rest_framework import serializers

from tenants.strictness import StrictTypesMixin


class Thing(StrictTypesMixin, serializers.Serializer):
    name = serializers.CharField(required=False, allow_null=True)
    mail = serializers.EmailField(required=False)
    shared = serializers.BooleanField(required=False)
    count = serializers.IntegerField(required=False)
    share = serializers.FloatField(required=False)
    kind = serializers.ChoiceField(["a", "b"], required=False)
    tags = serializers.ListField(child=serializers.CharField(), required=False)
    at = serializers.DateTimeField(required=False)
    extra = serializers.JSONField(required=False)


def faults(**data):
    thing = Thing(data=data)
    thing.is_valid()
    return {name: [str(error) for error in errors] for name, errors in thing.errors.items()}


@pytest.mark.parametrize(
    "data",
    [
        {"name": "x", "mail": "a@b.test", "shared": False, "count": 3, "share": 0.5, "kind": "a", "tags": ["x"]},
        {"name": None},
        {"share": 1},
        {"at": "2026-01-01T00:00:00Z", "extra": {"any": [1, "x", None]}},
        {},
    ],
)
def test_what_is_of_its_kind_is_taken(data):
    assert faults(**data) == {}


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"name": 0}, "Must be a text."),
        ({"name": 1.5}, "Must be a text."),
        ({"mail": 5}, "Must be a text."),
        ({"shared": 0}, "Must be true or false."),
        ({"shared": "true"}, "Must be true or false."),
        ({"count": "3"}, "Must be a whole number."),
        ({"count": 3.0}, "Must be a whole number."),
        ({"count": True}, "Must be a whole number."),
        ({"share": "0.5"}, "Must be a number."),
        ({"kind": True}, "Must be one of the choices."),
        ({"kind": ["a"]}, "Must be one of the choices."),
        ({"tags": ["x", 3]}, "Must be a text."),
    ],
)
def test_what_only_looks_like_it_is_refused(data, fault):
    assert faults(**data) == {next(iter(data)): [fault]}


def test_what_the_field_itself_refuses_is_the_fields_to_say():
    assert faults(kind="c") == {"kind": ['"c" is not a valid choice.']}
    assert "tags" in faults(tags="x")


def test_forms_are_read_as_ever():
    thing = Thing(data=QueryDict("count=3&shared=on"))

    assert thing.is_valid()
    assert (thing.validated_data["count"], thing.validated_data["shared"]) == (3, True)
