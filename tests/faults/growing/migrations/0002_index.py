from django.db import migrations


class Migration(migrations.Migration):
    """Longer than a request's statement may take."""

    atomic = False
    dependencies = [("growing", "0001_colour")]
    operations = [
        migrations.RunSQL("CREATE INDEX CONCURRENTLY growing_colour ON api_task (colour)"),
        migrations.RunSQL("SELECT pg_sleep(11)"),
    ]
