"""The models of each admin site, in the order of its dashboard."""

from django.contrib import admin
from django.contrib.auth.models import Group

from api.accounts.admin import CosmoUserAdmin, SessionAdmin
from api.accounts.models import Session
from api.admin_sites.audit_admin import AuditEntryAdmin
from api.admin_sites.mail_admin import OutgoingMailAdmin
from api.audit.models import AuditEntry
from api.mail.models import OutgoingMail
from api.managersite import UserManagerAdmin, manager_site
from api.notifications.admin import NotificationAdmin
from api.notifications.models import Notification
from api.properties.admin import PropertyAdmin
from api.properties.models import Property
from api.tasks.admin import TaskAdmin
from api.tasks.models import Task
from api.users.models import User

# Importing Django's UserAdmin registers groups, which Cosmo does not use.
admin.site.unregister(Group)

for site, user_admin in ((admin.site, CosmoUserAdmin), (manager_site, UserManagerAdmin)):
    site.register(Task, TaskAdmin)
    site.register(Property, PropertyAdmin)
    site.register(User, user_admin)
    site.register(Notification, NotificationAdmin)
    site.register(OutgoingMail, OutgoingMailAdmin)
    site.register(AuditEntry, AuditEntryAdmin)
    site.register(Session, SessionAdmin)

__all__ = ["CosmoUserAdmin", "UserManagerAdmin"]
