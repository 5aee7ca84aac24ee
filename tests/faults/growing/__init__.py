"""An application that is nothing but the next migration: a column, an index, and work that takes its time."""
