from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("crm", "0003_defaults")]
    operations = [
        migrations.AddField(
            "crmsettings",
            "no_contact_context",
            models.TextField(
                default="They have said that they do not want to be contacted.",
                help_text="Told to the agent after that, if the caller has said that they want no contact.",
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            "crmsettings",
            "message_subject",
            models.CharField(
                default="Message from {caller}",
                max_length=120,
                help_text="The task made of a message whose caller is no contact. {caller} is filled in.",
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            "interaction",
            "contact",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=models.CASCADE,
                related_name="interactions",
                to="crm.contact",
            ),
        ),
        migrations.AddConstraint(
            "interaction",
            models.CheckConstraint(
                condition=models.Q(("contact__isnull", False), ("kind__in", ("task", "follow_up")), _connector="OR"),
                name="interaction_has_a_contact",
            ),
        ),
        migrations.AddIndex(
            "interaction",
            models.Index(
                condition=models.Q(("done_at", None), ("kind__in", ("task", "follow_up")), ("contact", None), ("user", None)),
                fields=["due_on", "id"],
                name="interaction_free_task",
            ),
        ),
    ]
