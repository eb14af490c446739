-- damage: schema
-- entry: None
ALTER TABLE content ADD COLUMN more TEXT;
