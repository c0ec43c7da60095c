from rest_framework.routers import SimpleRouter

from crm.api.contacts import ContactViewSet
from crm.api.fields import CustomFieldViewSet, SavedViewViewSet
from crm.api.interactions import InteractionViewSet, TaskViewSet
from crm.hooks.api import WebhookEndpointViewSet
from crm.imports.api import ContactImportViewSet

router = SimpleRouter()
router.register("contacts", ContactViewSet, basename="contact")
router.register("interactions", InteractionViewSet, basename="interaction")
router.register("tasks", TaskViewSet, basename="task")
router.register("custom-fields", CustomFieldViewSet, basename="custom-field")
router.register("views", SavedViewViewSet, basename="view")
router.register("imports", ContactImportViewSet, basename="import")
router.register("webhooks", WebhookEndpointViewSet, basename="webhook")
