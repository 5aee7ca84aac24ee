from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("api", "0007_job_runs")]

    operations = [migrations.RenameModel("GuessCounter", "LoginAttemptCounter")]
