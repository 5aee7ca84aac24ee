from django.db import migrations


def rename(apps, schema_editor):
    runs = apps.get_model("api", "JobRun").objects
    former = runs.filter(name="housekeeping")
    for values in former.values("started_at", "finished_at", "succeeded_at", "runs", "failures"):
        runs.get_or_create(name="cleanup", defaults=values)
    former.delete()


class Migration(migrations.Migration):
    dependencies = [("api", "0009_devices")]

    operations = [migrations.RunPython(rename, migrations.RunPython.noop, elidable=True)]
