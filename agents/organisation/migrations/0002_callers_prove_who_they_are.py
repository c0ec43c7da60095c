from django.db import migrations, models

PROOF = "To protect your details, please tell me the postal code or the e-mail address that we have for you."
NO_PROOF = (
    "I cannot tell who is calling, so I must not give you those details."
    " I can take a message, or put you through to a person."
)


class Migration(migrations.Migration):
    dependencies = [("agents_organisation", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="agentsettings",
            name="proof_text",
            field=models.TextField(
                default=PROOF,
                help_text="Said when a caller asks for details of theirs and their number alone does not prove who they are.",
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="agentsettings",
            name="no_proof_text",
            field=models.TextField(default=NO_PROOF, help_text="Said when nothing on file could prove it."),
            preserve_default=False,
        ),
    ]
