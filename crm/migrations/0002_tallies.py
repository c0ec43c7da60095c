from django.db import migrations

from crm.tallies import INSTALL, REMOVE


class Migration(migrations.Migration):
    dependencies = [("crm", "0001_initial")]
    operations = [migrations.RunSQL(INSTALL, REMOVE)]
