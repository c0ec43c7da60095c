from django.urls import path

from telephony import staff_views

urlpatterns = [
    path("", staff_views.live, name="staff-live"),
    path("numbers/", staff_views.numbers, name="staff-numbers"),
    path("numbers/buy/", staff_views.number_buy, name="staff-number-buy"),
    path("numbers/attach/", staff_views.number_attach, name="staff-number-attach"),
]
