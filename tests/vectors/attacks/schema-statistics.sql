-- damage: schema
-- entry: None
ANALYZE;
