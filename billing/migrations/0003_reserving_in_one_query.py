from django.db import migrations

from billing.admission import INSTALL, REMOVE


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_day_totals")]

    operations = [migrations.RunSQL(INSTALL, REMOVE)]
