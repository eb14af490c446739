"""The tables of the shop's database, and the indexes that are made once they are full."""

SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE countries (
    code TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    vat_standard_bp INTEGER NOT NULL,  -- VAT in hundredths of a percent: 1900 is 19 %
    vat_reduced_bp INTEGER NOT NULL,
    price_list TEXT NOT NULL CHECK (price_list IN ('net', 'gross')),
    shipping_cents INTEGER NOT NULL
);

CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    street TEXT NOT NULL,
    city TEXT NOT NULL,
    country TEXT NOT NULL REFERENCES countries (code),
    created_at TEXT NOT NULL
);

CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    sku TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    vat_class TEXT NOT NULL CHECK (vat_class IN ('standard', 'reduced')),
    net_price_cents INTEGER NOT NULL,
    warehouse TEXT NOT NULL
);

CREATE TABLE coupons (
    code TEXT PRIMARY KEY,
    percent INTEGER NOT NULL,
    valid_from TEXT NOT NULL,
    valid_until TEXT NOT NULL
);

CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    placed_at TEXT NOT NULL,
    country TEXT NOT NULL REFERENCES countries (code),
    channel TEXT NOT NULL CHECK (channel IN ('web', 'app', 'phone')),
    coupon_code TEXT REFERENCES coupons (code),
    parcels INTEGER NOT NULL,
    goods_net_cents INTEGER NOT NULL,  -- before the discount
    discount_cents INTEGER NOT NULL,
    vat_cents INTEGER NOT NULL,
    shipping_cents INTEGER NOT NULL,   -- VAT included
    total_cents INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'shipped', 'returned', 'cancelled'))
);

CREATE TABLE order_items (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    line INTEGER NOT NULL,
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL,
    unit_net_cents INTEGER NOT NULL,
    discount_cents INTEGER NOT NULL,
    vat_bp INTEGER NOT NULL,
    parcel INTEGER NOT NULL,
    PRIMARY KEY (order_id, line)
) WITHOUT ROWID;

CREATE TABLE payments (
    id INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    kind TEXT NOT NULL CHECK (kind IN ('charge', 'refund')),
    method TEXT NOT NULL,
    amount_cents INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('captured', 'failed', 'paid_out')),
    note TEXT NOT NULL,
    created_at TEXT NOT NULL
);

CREATE TABLE shipments (
    id INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    parcel INTEGER NOT NULL,
    warehouse TEXT NOT NULL,
    carrier TEXT NOT NULL,
    shipped_at TEXT,
    delivered_at TEXT
);

CREATE TABLE deployments (
    id INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    deployed_at TEXT NOT NULL,
    deployed_by TEXT NOT NULL,
    summary TEXT NOT NULL
);

CREATE TABLE config_changes (
    id INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    key TEXT NOT NULL,
    old_value TEXT NOT NULL,
    new_value TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    changed_by TEXT NOT NULL
);

CREATE TABLE support_tickets (
    id INTEGER PRIMARY KEY,
    opened_at TEXT NOT NULL,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    order_id INTEGER REFERENCES orders (id),
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    linked_issue TEXT
);
"""

INDEXES = """
CREATE INDEX orders_placed_at ON orders (placed_at);
CREATE INDEX orders_customer ON orders (customer_id);
CREATE INDEX payments_order ON payments (order_id);
CREATE INDEX shipments_order ON shipments (order_id);
"""
