-- damage: schema
-- entry: None
CREATE INDEX by_note ON entry (note);
