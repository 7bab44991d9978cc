from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("records", "0005_a_restored_record_goes_on"),
    ]

    operations = [
        migrations.AddField(
            model_name="presencerow",
            name="left_entry",
            field=models.CharField(default="", max_length=36),
        ),
        migrations.AddField(
            model_name="presencerow",
            name="amended",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="presencerow",
            name="left_amended",
            field=models.BooleanField(default=False),
        ),
    ]
