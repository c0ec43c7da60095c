from django.db import models


class Tally(models.Model):
    """Running totals, kept by the database itself with every change of contacts and interactions (crm/tallies.py).

    Rows are differences: the total of a metric is the sum of its rows. So nobody waits for anybody to count.
    """

    metric = models.CharField(max_length=12)  # contacts, created, interactions, answered
    key = models.CharField(max_length=12, blank=True)  # a status, or a kind of interaction
    bucket = models.DateTimeField(null=True)  # the quarter of an hour; every time zone's days begin on one
    count = models.BigIntegerField()
    amount = models.DecimalField(max_digits=20, decimal_places=2, default=0)

    class Meta:
        indexes = [models.Index(fields=["metric", "bucket"], name="tally_metric")]

    def __str__(self) -> str:
        return f"{self.metric} {self.key} {self.count:+d}"
