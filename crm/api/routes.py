from rest_framework.routers import SimpleRouter

from crm.api.contacts import ContactViewSet
from crm.api.fields import CustomFieldViewSet, SavedViewViewSet
from crm.api.interactions import InteractionViewSet, TaskViewSet
from crm.email.api.domains import SendingDomainViewSet
from crm.email.api.mailings import MailingViewSet
from crm.email.api.messages import EmailMessageViewSet
from crm.email.api.sequences import EnrolmentViewSet, SequenceViewSet
from crm.email.api.suppressions import SuppressionViewSet
from crm.email.api.templates import EmailTemplateViewSet
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
router.register("email-templates", EmailTemplateViewSet, basename="email-template")
router.register("mailings", MailingViewSet, basename="mailing")
router.register("emails", EmailMessageViewSet, basename="email")
router.register("suppressions", SuppressionViewSet, basename="suppression")
router.register("sending-domains", SendingDomainViewSet, basename="sending-domain")
router.register("sequences", SequenceViewSet, basename="sequence")
router.register("enrolments", EnrolmentViewSet, basename="enrolment")
