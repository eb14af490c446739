-- damage: schema
-- entry: None
PRAGMA user_version = 2;
