"""
What the shop is and what has happened to it: countries, goods, coupons, releases, configuration, and what people write.

Days are counted from the first one of the database.
"""

from __future__ import annotations

from dataclasses import dataclass

DAYS = 184
"""How many days of orders the shop has."""

FAULT_DAYS = 45
"""How many days before the last one the fault went into production."""


@dataclass(frozen=True, slots=True)
class Country:
    """A country that the shop sells to. VAT in hundredths of a percent; `share` of all orders."""

    code: str
    name: str
    standard_bp: int
    reduced_bp: int
    price_list: str
    shipping_cents: int
    share: float
    cities: tuple[str, ...]
    streets: tuple[str, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]


COUNTRIES = (
    Country("DE", "Germany", 1900, 700, "net", 490, 0.44,
            ("Berlin", "Hamburg", "München", "Köln", "Leipzig", "Bremen", "Freiburg"),
            ("Musterstraße", "Beispielweg", "Probeallee"),
            ("Anna", "Jonas", "Mia", "Paul", "Lena", "Emil", "Clara", "Felix", "Ayşe", "Karl"),
            ("Muster", "Beispiel", "Probst", "Platzhalter", "Vorlage", "Irgendwer", "Testmann")),
    Country("NL", "Netherlands", 2100, 900, "gross", 590, 0.16,
            ("Amsterdam", "Utrecht", "Rotterdam", "Groningen", "Eindhoven"),
            ("Voorbeeldstraat", "Testgracht", "Proefplein"),
            ("Sanne", "Daan", "Lotte", "Bram", "Fleur", "Sem", "Noor", "Thijs"),
            ("van Voorbeeld", "de Test", "Proefstra", "Jansen-Demo", "van der Staal")),
    Country("AT", "Austria", 2000, 1000, "net", 590, 0.13,
            ("Wien", "Graz", "Linz", "Salzburg", "Innsbruck"),
            ("Mustergasse", "Beispielring"),
            ("Magdalena", "Lukas", "Hannah", "Tobias", "Theresa", "Maximilian"),
            ("Mustermayr", "Beispielhuber", "Probegger", "Testlinger")),
    Country("FR", "France", 2000, 550, "net", 790, 0.12,
            ("Lyon", "Paris", "Lille", "Nantes", "Strasbourg"),
            ("rue de l’Exemple", "avenue du Test"),
            ("Camille", "Louis", "Manon", "Hugo", "Inès", "Théo"),
            ("Exemple", "Dutest", "Modèle", "Delademo")),
    Country("BE", "Belgium", 2100, 600, "net", 690, 0.06,
            ("Gent", "Brussel", "Liège", "Antwerpen"),
            ("Voorbeeldlaan", "rue Modèle"),
            ("Emma", "Arthur", "Louise", "Jules"),
            ("Peeters-Demo", "Dubois-Test", "Voorbeels")),
    Country("IT", "Italy", 2200, 1000, "net", 890, 0.06,
            ("Milano", "Bologna", "Torino", "Trieste"),
            ("via dell’Esempio", "viale Prova"),
            ("Giulia", "Lorenzo", "Chiara", "Matteo"),
            ("Esempio", "Provetti", "Di Prova", "Campioni")),
    Country("DK", "Denmark", 2500, 2500, "net", 890, 0.03,
            ("København", "Aarhus", "Odense"),
            ("Eksempelvej", "Prøvegade"),
            ("Freja", "Oscar", "Ida", "Malthe"),
            ("Eksempelsen", "Prøvegaard", "Testensen")),
)  # fmt: skip

CATEGORIES = (
    # category, VAT class, median net price in cents, warehouse, nouns
    ("garden", "standard", 3400, "Leipzig",
     ("Watering can", "Raised bed", "Pruning shears", "Bird feeder", "Rain barrel", "Garden fork",
      "Fire bowl", "Seed tray", "Hammock", "Trellis")),
    ("kitchen", "standard", 2900, "Leipzig",
     ("Cast-iron pan", "Paring knife", "Coffee grinder", "Bread tin", "Mortar", "Teapot", "Scales",
      "Chopping board", "Colander", "Pepper mill")),
    ("lighting", "standard", 5200, "Venlo",
     ("Desk lamp", "Lantern", "Pendant lamp", "Bicycle light", "Night light", "Floor lamp", "String lights")),
    ("workshop", "standard", 4100, "Venlo",
     ("Plane", "Chisel set", "Clamp", "Spirit level", "Workbench", "Handsaw", "Tool roll", "Folding rule")),
    ("books", "reduced", 1700, "Leipzig",
     ("Atlas of moss", "Bread at home", "The mended chair", "Weather by eye", "A year of hedges",
      "Small boats", "Notes on soil")),
    ("pantry", "reduced", 900, "Venlo",
     ("Olive oil", "Buckwheat honey", "Rye crackers", "Sea salt", "Chestnut purée", "Oat drink",
      "Tomato passata", "Black tea")),
)  # fmt: skip
STYLES = ("", " classic", " large", " small", " oak", " green", " No. 2")

COUPONS = (
    # code, percent, first day, last day (counted from the first day of the database), share of orders then
    ("WELCOME10", 10, 0, DAYS, 0.09),
    ("NEWSLETTER5", 5, 0, DAYS, 0.08),
    ("SUMMER15", 15, 38, 66, 0.16),
    ("FRIENDS20", 20, 90, 104, 0.10),
    ("AUTUMN12", 12, 128, 160, 0.14),
)

METHODS = (("card", 46), ("paypal", 27), ("invoice", 17), ("sepa", 10))
CARRIERS = ("DHL", "PostNL", "DPD", "GLS")

RELEASES = (
    # service, version, day it went out, hour, by, summary
    ("search", "2.31.0", 6, 9, "m.haas", "Synonyms for garden tools"),
    ("checkout", "4.7.0", 11, 10, "t.okafor", "Apple Pay on the product page"),
    ("mailer", "1.18.2", 17, 14, "l.brandt", "Fix umlauts in subject lines"),
    ("catalog", "7.2.0", 24, 9, "m.haas", "Price lists: a country can be listed gross (Netherlands first)"),
    ("warehouse", "5.4.0", 31, 8, "p.nowak", "Second warehouse in Venlo takes orders"),
    ("payments", "3.9.0", 37, 10, "t.okafor", "Retry a failed card once"),
    ("checkout", "4.8.0", 52, 9, "t.okafor", "Coupons can be combined with sale prices"),
    ("search", "2.32.0", 58, 13, "m.haas", "Faster facets"),
    ("payments", "3.9.1", 63, 16, "s.lind", "SEPA: mandate text"),
    ("warehouse", "5.5.0", 74, 8, "p.nowak", "Split an order when no single warehouse has all of it"),
    ("checkout", "4.9.0", 81, 10, "t.okafor", "Show parcels of a split order"),
    ("mailer", "1.19.0", 95, 11, "l.brandt", "One mail for each parcel"),
    ("catalog", "7.3.0", 102, 9, "m.haas", "Autumn catalogue"),
    ("payments", "3.10.0", 113, 10, "s.lind", "New PayPal API"),
    ("checkout", "4.9.1", 119, 15, "t.okafor", "Fix: coupon field lost its focus"),
    ("search", "2.33.0", 131, 9, "m.haas", "Spelling of Dutch compounds"),
    ("catalog", "7.3.1", DAYS - FAULT_DAYS - 3, 9, "m.haas", "Images in AVIF"),
    ("payments", "3.10.1", DAYS - FAULT_DAYS - 2, 16, "s.lind", "Log the gateway's reply code"),
    ("checkout", "4.10.0", DAYS - FAULT_DAYS - 1, 9, "t.okafor",
     "Re-price each parcel of a split order, so that coupons round right"),
    ("mailer", "1.19.1", DAYS - FAULT_DAYS - 1, 7, "l.brandt", "Footer with new office address"),
    ("warehouse", "5.5.1", DAYS - FAULT_DAYS + 4, 8, "p.nowak", "Labels: print postcode larger"),
    ("search", "2.34.0", DAYS - FAULT_DAYS + 12, 13, "m.haas", "Faster index"),
    ("checkout", "4.10.1", DAYS - FAULT_DAYS + 19, 10, "t.okafor", "Accessible error messages"),
    ("catalog", "7.4.0", DAYS - FAULT_DAYS + 30, 9, "m.haas", "Winter catalogue"),
)  # fmt: skip
FAULT_RELEASE = ("checkout", "4.10.0")

CONFIG = (
    # service, key, old, new, day, hour, by
    ("catalog", "price_list.NL", "net", "gross", 25, 7, "m.haas"),
    ("payments", "card.retries", "0", "1", 37, 11, "s.lind"),
    ("warehouse", "split.enabled", "false", "true", 76, 7, "p.nowak"),
    ("warehouse", "split.max_parcels", "2", "3", 110, 7, "p.nowak"),
    ("checkout", "free_shipping_from_cents", "10000", "9000", 126, 8, "t.okafor"),
    ("payments", "capture.timeout_s", "20", "30", DAYS - FAULT_DAYS - 2, 17, "s.lind"),
    ("search", "results_per_page", "24", "36", DAYS - FAULT_DAYS + 2, 9, "m.haas"),
    ("mailer", "provider", "smtp-1", "smtp-2", DAYS - FAULT_DAYS + 8, 9, "l.brandt"),
)

FREE_SHIPPING_FROM = 9000

HOURS = (4, 2, 1, 1, 1, 2, 5, 10, 17, 24, 29, 31, 33, 31, 29, 29, 31, 36, 43, 51, 56, 47, 28, 12)
"""How busy each hour of the day is (UTC); people shop in the evening."""
WEEKDAYS = (1.08, 1.0, 0.97, 0.98, 0.94, 0.86, 1.21)
"""Monday to Sunday."""

OTHER_TICKETS = (
    ("Where is my parcel?", "It should have been here {n} days ago. The tracking page has not moved since."),
    ("Arrived broken", "The box was dented and one piece is cracked. Can I have another one?"),
    ("Change of address", "I have moved. Please send it to my new address, it is in my account."),
    ("Coupon does not work", "The shop says the code has expired, but the mail came only yesterday."),
    ("Invoice for my company", "Could I have the invoice with our VAT number on it, please?"),
    ("Return", "It does not fit. How do I send it back?"),
    ("Thank you", "It came a day early and it is lovely. Just wanted to say so."),
)
OVERCHARGED_TICKETS = (
    ("Charged too much", "I paid {paid}, but with my coupon your own pages come to {right}. What happened?"),
    ("Coupon made it dearer?", "With the coupon I was charged {paid}. That is what it costs without one!"),
    ("Wrong amount", "{paid} was taken. I added it up three times and get {right} with shipping and VAT."),
    ("VAT looks wrong", "The VAT on my invoice is far too high. Paid {paid}, should be {right}."),
    ("Te veel betaald", "You took {paid} in parts, one for each parcel. The basket had said {right}."),
)
