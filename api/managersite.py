"""The admin site of managers."""

from api.accounts.admin import UserManagerAdmin
from api.admin_sites.sites import ManagerSite

manager_site = ManagerSite("manager_admin")

__all__ = ["UserManagerAdmin", "manager_site"]
