"""A line set to a language is heard and spoken in it, or it is refused and says why."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from telephony.languages import doubt, heard_by, known_languages, spoken_by
from telephony.models import Line
from telephony.services.lines import line_defaults
from tenants.context import entered

GERMAN = {"language": "de", "listen_model": "flux-general-multi", "voice": "aura-2-julius-de"}
GERMAN |= {"carrier_voice": "Polly.Vicki-Neural"}


@pytest.mark.parametrize(
    ("model", "language"),
    [
        ("flux-general-en", "en"),
        ("flux-general-multi", ""),
        ("nova-3", ""),
        ("nova-3-medical", "en"),
        ("nova-2-phonecall", "en"),
        ("whisper-large", ""),
        ("", ""),
    ],
)
def test_what_a_listening_model_hears(model, language):
    assert heard_by(model) == language


@pytest.mark.parametrize(
    ("voice", "language"),
    [
        ("aura-2-thalia-en", "en"),
        ("aura-asteria-en", "en"),
        ("aura-2-julius-de", "de"),
        ("flux-kit-en", "en"),
        ("Polly.Joanna-Neural", "en"),
        ("Polly.Vicki", "de"),
        ("Google.de-DE-Wavenet-A", "de"),
        ("alice", ""),
        ("21m00Tcm4TlvDq8ikWAM", ""),
        ("", ""),
    ],
)
def test_what_a_voice_speaks(voice, language):
    assert spoken_by(voice) == language


def test_german_with_english_models_is_refused_field_by_field(line):
    line.language = "de-AT"

    with pytest.raises(ValidationError) as refusal:
        line.clean()

    faults = refusal.value.message_dict
    assert set(faults) == {"listen_model", "voice", "carrier_voice"}
    assert faults["voice"] == ["aura-2-thalia-en speaks English alone. Name a voice that speaks German (Austria)."]


@pytest.mark.parametrize("missing", ["listen_model", "voice", "carrier_voice"])
def test_each_part_must_know_the_language(line, missing):
    for name, value in GERMAN.items():
        setattr(line, name, value)
    line.clean()

    setattr(line, missing, line_defaults()[missing])
    with pytest.raises(ValidationError) as refusal:
        line.clean()
    assert set(refusal.value.message_dict) == {missing}


def test_dearer_and_cheaper_voices_speak_it_too(line):
    for name, value in GERMAN.items():
        setattr(line, name, value)
    line.premium_voice = "aura-2-thalia-en"

    with pytest.raises(ValidationError, match="German"):
        line.clean()


def test_the_api_refuses_what_the_form_refuses(line, visit, owner, bob, stranger):
    path = f"/api/v1/lines/{line.pk}/"
    refused = visit(owner).patch(path, {"language": "de"}, content_type="application/json")
    assert refused.status_code == 400 and "German" in str(refused.json())
    assert visit(owner).patch(path, {"language": "xx"}, content_type="application/json").status_code == 400
    assert visit(stranger).patch(path, GERMAN, content_type="application/json").status_code == 404

    assert visit(owner).patch(path, GERMAN, content_type="application/json").status_code == 200
    line.refresh_from_db()
    assert (line.language, line.voice) == ("de", "aura-2-julius-de")
    with entered(bob):
        assert not Line.objects.filter(language="de").exists()


def test_the_form_offers_languages_by_name_and_keeps_an_unknown_one(line, visit, owner):
    Line.objects.filter(pk=line.pk).update(language="gsw")

    page = visit(owner).get(line.get_absolute_url()).content.decode()

    assert '<option value="de-AT">German (Austria)</option>' in page
    assert '<option value="gsw" selected>gsw</option>' in page


def test_an_older_line_says_on_its_page_what_cannot_work(line, visit, owner):
    Line.objects.filter(pk=line.pk).update(language="de")
    page = visit(owner).get(line.get_absolute_url()).content.decode()
    assert "flux-general-en hears English alone." in page

    Line.objects.filter(pk=line.pk).update(**{**GERMAN, "language": "th", "voice": "other", "carrier_voice": "alice"})
    page = visit(owner).get(line.get_absolute_url()).content.decode()
    assert "flux-general-multi is not known to hear Thai." in page and "alone." not in page


def test_there_is_a_doubt_only_where_a_list_says_so():
    assert doubt("de", "flux-general-multi") == "" and doubt("th", "some-new-model") == ""
    assert doubt("th", "flux-general-multi")


def test_the_default_line_works():
    assert line_defaults()["language"] in known_languages()
