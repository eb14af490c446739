-- damage: schema
-- entry: None
PRAGMA application_id = 1;
