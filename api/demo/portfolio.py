"""The demo portfolio: users, properties and tasks of holiday rentals on the coast of Maine."""

from api.common.choices import Department, Role
from api.properties.models import PropertyType
from api.tasks.models import Priority, TaskType

# (username, first name, last name, role, department)
USERS = [
    ("root.admin", "Ruth", "Okafor", Role.SUPERUSER, Department.GENERAL),
    ("simon.admin", "Simon", "Lindqvist", Role.SUPERUSER, Department.GENERAL),
    ("grace.admin", "Grace", "Tanaka", Role.SUPERUSER, Department.GENERAL),
    ("pavel.admin", "Pavel", "Novak", Role.SUPERUSER, Department.GENERAL),
    ("maria.manager", "Maria", "Castellanos", Role.MANAGER, Department.GENERAL),
    ("daniel.manager", "Daniel", "Whitcomb", Role.MANAGER, Department.MAINTENANCE),
    ("aisha.manager", "Aisha", "Rahman", Role.MANAGER, Department.CLEANING),
    ("tom.manager", "Tom", "Beaulieu", Role.MANAGER, Department.GENERAL),
    ("carla.cleaner", "Carla", "Mendes", Role.STAFF, Department.CLEANING),
    ("mike.mechanic", "Mike", "O'Rourke", Role.STAFF, Department.MAINTENANCE),
    ("lena.laundry", "Lena", "Fischer", Role.STAFF, Department.LAUNDRY),
    ("pete.pool", "Pete", "Gallant", Role.STAFF, Department.LAWN_POOL),
    ("olga.owner", "Olga", "Petrova", Role.VIEWER, Department.GENERAL),
    ("henry.owner", "Henry", "Abbott", Role.VIEWER, Department.GENERAL),
    ("nina.owner", "Nina", "Sørensen", Role.VIEWER, Department.GENERAL),
    ("james.owner", "James", "Carver", Role.VIEWER, Department.GENERAL),
]

# (name, address, type, owner's username)
PROPERTIES = [
    ("Harbour Loft", "12 Commercial Street, Portland, ME 04101", PropertyType.APARTMENT, "olga.owner"),
    ("Lighthouse Cottage", "3 Shore Road, Cape Elizabeth, ME 04107", PropertyType.HOUSE, "olga.owner"),
    ("Pine Point House", "88 Pine Point Road, Scarborough, ME 04074", PropertyType.HOUSE, "olga.owner"),
    ("Old Port Studio", "41 Exchange Street, Portland, ME 04101", PropertyType.APARTMENT, "henry.owner"),
    ("Munjoy Hill Flat", "110 Congress Street, Portland, ME 04101", PropertyType.CONDO, "henry.owner"),
    ("Sebago Lake Cabin", "7 Anderson Lane, Naples, ME 04055", PropertyType.CABIN, "henry.owner"),
    ("Kennebunk Beach Villa", "215 Beach Avenue, Kennebunk, ME 04043", PropertyType.VILLA, "nina.owner"),
    ("Ogunquit Townhouse", "19 Perkins Cove Road, Ogunquit, ME 03907", PropertyType.TOWNHOUSE, "nina.owner"),
    ("Wells Dune House", "402 Atlantic Avenue, Wells, ME 04090", PropertyType.HOUSE, "nina.owner"),
    ("Freeport Barn", "56 Flying Point Road, Freeport, ME 04032", PropertyType.OTHER, "james.owner"),
    ("Bailey Island Cabin", "1290 Harpswell Islands Road, Harpswell, ME 04003", PropertyType.CABIN, "james.owner"),
    ("Rockland Captain's House", "30 Summer Street, Rockland, ME 04841", PropertyType.HOUSE, "james.owner"),
]

# Each task: title, type, priority and description.
TASKS = [
    ("Turnover clean", TaskType.CLEANING, Priority.HIGH, "Guests leave at 10, the next ones come at 4."),
    ("Deep clean of the kitchen", TaskType.CLEANING, Priority.MEDIUM, "Oven, hood and fridge seals."),
    ("Clean the windows", TaskType.CLEANING, Priority.LOW, "Inside and outside, salt on the sea side."),
    ("Fix the dripping tap", TaskType.MAINTENANCE, Priority.MEDIUM, "Bathroom upstairs, cold side."),
    ("Replace smoke detector batteries", TaskType.MAINTENANCE, Priority.URGENT, "All floors; note the date on each."),
    ("Service the boiler", TaskType.MAINTENANCE, Priority.MEDIUM, ""),
    ("Linen for four", TaskType.LAUNDRY, Priority.HIGH, "Two doubles, towels in white."),
    ("Wash the curtains", TaskType.LAUNDRY, Priority.LOW, ""),
    ("Mow the lawn", TaskType.LAWN_POOL, Priority.MEDIUM, "Mind the sprinkler heads."),
    ("Check the pool chemistry", TaskType.LAWN_POOL, Priority.HIGH, "pH 7.2 to 7.6; write both values down."),
    ("Walk through after departure", TaskType.INSPECTION, Priority.MEDIUM, "Photos of anything broken."),
    ("Welcome basket", TaskType.PREPARATION, Priority.LOW, "Blueberry jam, tea, a note with the wifi."),
    ("Renew the rental licence", TaskType.ADMINISTRATION, Priority.HIGH, "The town wants the form two weeks ahead."),
    ("Return the borrowed kayak", TaskType.OTHER, Priority.LOW, ""),
]
