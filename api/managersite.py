"""The site of managers, and what is registered there."""

from api.sites import ManagerSite
from api.users.admin import UserManagerAdmin

manager_site = ManagerSite("manager_admin")

__all__ = ["UserManagerAdmin", "manager_site"]
