from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


class EmailSettings(models.Model):
    """How an organisation writes, and every sentence its recipients meet outside of a message. One row a tenant."""

    from_name = models.CharField(max_length=120, blank=True, help_text="Left empty, the organisation's name.")
    from_local_part = models.CharField(
        "from address, before the @", max_length=64, help_text="Used with a verified domain of your own."
    )
    reply_to = models.EmailField(blank=True, help_text="Where answers go.")
    postal_address = models.CharField(max_length=300, blank=True, help_text="Many countries ask for one in bulk e-mail.")
    footer_html = models.TextField("footer", help_text="Put under e-mail to many that has no unsubscribe link of its own.")
    morning_hour = models.PositiveSmallIntegerField(
        "morning begins at", validators=[MinValueValidator(5), MaxValueValidator(11)]
    )
    messages_per_minute = models.PositiveIntegerField(validators=[MinValueValidator(1), MaxValueValidator(100_000)])
    track_opens = models.BooleanField("notice opens")
    track_clicks = models.BooleanField("notice clicks")
    pause_at_bounce_percent = models.PositiveSmallIntegerField(
        "pause when so many percent bounce", validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    # The page of preferences, which recipients see without signing in.
    preferences_title = models.CharField(max_length=120)
    preferences_text = models.TextField()
    unsubscribe_label = models.CharField(max_length=80)
    unsubscribed_title = models.CharField(max_length=120)
    unsubscribed_text = models.TextField()
    resubscribe_label = models.CharField(max_length=80)
    too_often_text = models.CharField(max_length=300)
    gone_title = models.CharField(max_length=120)
    gone_text = models.CharField(max_length=300)
    language = models.CharField("language of these texts", max_length=12)  # as in HTML: "en", "pt-br"
    # What owners and admins are told when a sending domain stops working. {domain}, {organization}, {link}.
    domain_lost_subject = models.CharField(max_length=150)
    domain_lost_text = models.TextField()

    class Meta:
        verbose_name_plural = "e-mail settings"

    def __str__(self) -> str:
        return self.from_name or "E-mail settings"


def email_settings() -> EmailSettings:
    """Return the entered tenant's settings."""
    return EmailSettings.objects.get()
