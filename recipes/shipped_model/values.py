"""Names, places, things and numbers that fill the templates; many of them are made up on the spot.

A tiny model copies only what it has learnt to copy, so half of all names are syllables in random
order: they cannot be remembered, they must be read from the prompt.
"""

from __future__ import annotations

from .draw import Draw, Words

FIRST_NAMES = Words("""
Ann Anna Alice Amelia Amy Aisha Ali Ahmed Adam Alan Alex Andrew Anthony Arthur Ben Bella Bob Brian Bruno Carla Carlos
Carol Cecilia Charles Charlotte Chen Chloe Chris Clara Claire Daniel David Diana Diego Dmitri Dora Edgar Edith Elena
Elias Elena Ella Ellen Emil Emily Emma Eric Erika Ethan Eva Evan Fatima Felix Fiona Frank Frida Gabriel George Gina
Grace Greta Hana Hannah Harry Hassan Helen Henry Hugo Ibrahim Ida Igor Ines Ingrid Irene Isaac Isabel Ivan Jack Jacob
James Jamal Jane Jasmine Jason Javier Jennifer Jessica Jin Joan Joe John Jonas Jorge Joseph Josh Juan Julia Julian
Karen Karim Karl Kate Kenji Kevin Khalid Kim Lars Laura Lea Leo Leila Lena Liam Lily Linda Lina Lisa Louis Lucas Lucy
Luis Luna Magnus Maria Marco Margaret Mark Marta Martin Mary Mateo Max Maya Mei Mia Michael Miguel Mila Milan Mohamed
Mona Nadia Nancy Naomi Nathan Nina Noah Nora Oleg Olga Oliver Olivia Omar Oscar Otto Pablo Patrick Paul Paula Pedro
Peter Petra Philip Priya Rachel Rafael Raj Ravi Rebecca Rosa Robert Roger Rosie Ruth Ryan Sam Samira Samuel Sara Sarah
Sebastian Simon Sofia Sonja Sophie Stefan Stella Steve Sue Susan Sven Tara Tariq Ted Teresa Theo Thomas Tim Tina Tom
Tony Ursula Valentina Vera Victor Viktor Vincent Viola Wanda Wei William Xavier Yasmin Yuki Yusuf Zara Zoe
""")

LAST_NAMES = Words("""
Adams Ahmed Allen Alvarez Anderson Baker Barnes Becker Bell Bennett Berg Bianchi Black Brown Butler Campbell Carter
Castro Chen Clark Cohen Cole Collins Cook Cooper Costa Cruz Davis Diaz Dubois Edwards Evans Fischer Fisher Flores
Foster Garcia Gomez Gonzalez Gray Green Gupta Hall Hansen Harris Hayes Hill Hoffmann Howard Hughes Ito Jackson Jansen
Jensen Johnson Jones Kelly Khan Kim King Klein Kowalski Kumar Larsen Lee Lewis Li Lopez Martin Martinez Meyer Miller
Mitchell Moore Morgan Morris Muller Murphy Myers Nakamura Nelson Nguyen Novak Nowak Okafor Olsen Ortiz Owens Park
Parker Patel Perez Peters Petrov Phillips Popov Price Quinn Ramos Reed Reyes Richardson Rivera Roberts Robinson Rossi
Russo Ryan Sanchez Santos Sato Schmidt Schneider Scott Shah Silva Singh Smith Stewart Suzuki Svensson Tanaka Taylor
Thomas Thompson Torres Tran Turner Vargas Wagner Walker Wang Ward Watson Weber White Williams Wilson Wood Wright Yang
Young Zhang Zimmermann
""")

CITIES = Words("""
Aachen Aberdeen Albany Alicante Antwerp Atlanta Austin Baltimore Barcelona Basel Bergen Bilbao Birmingham Bologna
Bordeaux Boston Bremen Brighton Bristol Brooklyn Buffalo Calgary Cambridge Cardiff Chicago Cleveland Cologne Dallas
Denver Detroit Dortmund Dresden Dubai Dundee Durban Edmonton Eindhoven Florence Frankfurt Gdansk Geneva Genoa Ghent
Glasgow Gothenburg Granada Graz Halifax Hamburg Hamilton Hanover Hiroshima Honolulu Houston Innsbruck Istanbul
Johannesburg Karachi Kobe Krakow Kyoto Lagos Lahore Lausanne Leeds Leicester Leipzig Lille Liverpool Lucerne Lyon
Madison Malaga Malmo Manchester Marseille Melbourne Memphis Miami Milan Milwaukee Montreal Mumbai Munich Nagoya Nantes
Naples Nashville Newcastle Nice Nottingham Oakland Odessa Orlando Osaka Ostrava Oxford Palermo Perth Philadelphia
Phoenix Pisa Pittsburgh Plymouth Porto Portland Portsmouth Poznan Quebec Reading Reno Richmond Rotterdam Salzburg
Sapporo Savannah Seattle Seville Sheffield Shanghai Shenzhen Siena Southampton Split Stuttgart Sydney Tacoma Tampa
Toledo Toronto Toulouse Trieste Tucson Turin Utrecht Valencia Vancouver Venice Verona Winnipeg Wroclaw York Zurich
Paris London Rome Madrid Berlin Vienna Prague Tokyo Cairo Lisbon Dublin Oslo Athens Moscow Beijing Seoul Lima Nairobi
""")

TWO_WORD_CITIES = (
    "New York", "Los Angeles", "San Francisco", "San Diego", "San Antonio", "New Orleans", "Las Vegas", "Salt Lake City",
    "Kansas City", "Hong Kong", "Mexico City", "Buenos Aires", "Rio de Janeiro", "Sao Paulo", "Cape Town", "Tel Aviv",
    "Santa Fe", "Fort Worth", "El Paso", "Palo Alto", "St. Louis", "Quebec City", "Abu Dhabi", "New Delhi",
)  # fmt: skip

ADJECTIVES = Words(
    """
red blue green black white yellow silver golden wooden leather cotton plastic steel glass ceramic small large big tiny
heavy light wireless electric digital portable foldable waterproof vintage modern classic used new handmade organic
soft round square compact smart cordless woolen striped bright dark thick thin warm
""",
    is_open=True,
)

THINGS = Words(
    """
backpack ball bag basket bed belt bench bicycle blanket blender book bottle bowl bracelet brush bucket cable camera
candle carpet chair charger clock coat couch cup curtain desk dress drill drone fan flashlight fork frame fridge
glove guitar hammer hat headphones heater helmet hoodie jacket jar jeans kettle keyboard kite knife ladder lamp
laptop light mattress microphone mirror monitor mouse mug necklace notebook oven pan pen pencil phone piano pillow plate
printer puzzle radio razor ring router rug ruler saddle sandals saw scarf scooter screen shelf shirt shoes shovel skirt
sofa speaker spoon stapler stool stove suitcase sunglasses sweater table tablet teapot telescope tent toaster
towel toy tripod trumpet umbrella vase violin wallet watch whistle
""",
    is_open=True,
)

JOBS = Words(
    """
accountant actor architect artist baker barber biologist carpenter chef chemist coach cook dancer dentist designer
doctor driver economist editor electrician engineer farmer firefighter fisherman florist gardener guide hairdresser
janitor journalist judge lawyer librarian mechanic model musician nurse painter pharmacist photographer pilot
plumber poet programmer professor receptionist sailor scientist secretary singer soldier student surgeon tailor teacher
translator vet waiter writer
""",
    is_open=True,
)

HOBBIES = Words(
    """
reading swimming cooking hiking painting dancing fishing gardening running cycling singing chess football tennis
photography drawing knitting climbing sailing skiing baking yoga
""",
    is_open=True,
)

COLORS = (
    "red",
    "blue",
    "green",
    "black",
    "white",
    "yellow",
    "orange",
    "purple",
    "brown",
    "pink",
    "gray",
    "silver",
)
ANIMALS = Words(
    """
cat dog rabbit fox bear mouse horse cow sheep goat duck hen frog owl parrot lion tiger elephant monkey turtle wolf deer
squirrel hedgehog penguin dolphin whale bee ant butterfly spider snail snake crow swan
""",
    is_open=True,
)
OPEN_POOLS = (ADJECTIVES, THINGS, JOBS, HOBBIES, ANIMALS)
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DOMAINS = ("com", "org", "net", "io", "edu", "co.uk", "de", "fr")

ONSETS = (
    *"bcdfghjklmnprstvwzy", "br", "ch", "cr", "dr", "fl", "fr", "gl", "gr", "kl", "kr", "pl", "pr", "sh", "sk", "sl", "st",
    "str", "th", "tr", "qu",
)  # fmt: skip
VOWELS = (
    *"aeiouaeiou",
    "ai",
    "ea",
    "ee",
    "ia",
    "ie",
    "io",
    "oo",
    "ou",
    "y",
)  # simple ones more often
CODAS = (*"nrsltmkdxbpvnrslk", "nd", "rt", "lk", "st", "ng", "th", "sk", "ck", "sh")


def made_up_word(draw: Draw, low: int = 1, high: int = 3) -> str:
    """Return a pronounceable lowercase word of this side of the split."""
    while True:
        parts = [
            draw.any(ONSETS) + draw.any(VOWELS) + (draw.any(CODAS) if draw.chance(0.4) else "")
            for _ in range(draw.number(low, high))
        ]
        if draw.chance(0.15):
            parts[0] = parts[0].lstrip("bcdfghjklmnpqrstvwxyz") or parts[0]
        word = "".join(parts)
        if 3 <= len(word) <= 12 and draw.owns(word):
            return word


def made_up_name(draw: Draw) -> str:
    """Return a made-up capitalised name."""
    return made_up_word(draw, 1, 3).capitalize()


def first_name(draw: Draw) -> str:
    """Return a first name, real or made up."""
    return draw.of(FIRST_NAMES) if draw.chance(0.6) else made_up_name(draw)


def last_name(draw: Draw) -> str:
    """Return a family name, real or made up."""
    return draw.of(LAST_NAMES) if draw.chance(0.5) else made_up_name(draw)


def full_name(draw: Draw) -> str:
    """Return a first and a family name."""
    return f"{first_name(draw)} {last_name(draw)}"


def person(draw: Draw) -> str:
    """Return how a person may be called: a first name or a full one."""
    return first_name(draw) if draw.chance(0.5) else full_name(draw)


def city(draw: Draw) -> str:
    """Return a city, real or made up."""
    roll = draw.rng.random()
    if roll < 0.55:
        return draw.of(CITIES)
    if roll < 0.65 and not draw.held_out:
        return draw.any(TWO_WORD_CITIES)
    name = made_up_name(draw)
    if draw.chance(0.15):
        return f"{draw.any(('New', 'San', 'Port', 'North', 'Saint', 'Fort', 'East'))} {name}"
    if draw.chance(0.3):
        name = made_up_word(draw, 1, 2).capitalize() + draw.any(
            ("ville", "ton", "burg", "field", "ford", "stad")
        )
    return name


def product(draw: Draw) -> str:
    """Return a thing with up to two adjectives, or a made-up brand and model."""
    roll = draw.rng.random()
    if roll < 0.2:
        return draw.of(THINGS)
    if roll < 0.7:
        return f"{draw.of(ADJECTIVES)} {draw.of(THINGS)}"
    if roll < 0.85:
        return f"{made_up_name(draw)} {draw.of(THINGS)}"
    return f"{made_up_name(draw)} {draw.any('XTZRKMPVS')}{draw.number(1, 999)}"


def company(draw: Draw) -> str:
    """Return a company's name."""
    tail = draw.any(
        (
            "",
            "",
            "Inc",
            "Ltd",
            "Labs",
            "Group",
            "Systems",
            "Foods",
            "Media",
            "Bank",
            "Motors",
            "Books",
        )
    )
    return f"{made_up_name(draw)} {tail}".strip()


def email(draw: Draw, name: str = "") -> str:
    """Return an address that may echo a name."""
    user = (name or person(draw)).lower().replace(" ", draw.any((".", "_", "")))
    if draw.chance(0.3):
        user = made_up_word(draw) + draw.any(("", str(draw.number(1, 99))))
    host = draw.any(("example", "mail", "gmail", "work", made_up_word(draw), made_up_word(draw)))
    return f"{user}@{host}.{draw.any(DOMAINS)}"


def phone(draw: Draw) -> str:
    """Return a telephone number."""
    digits = "".join(str(draw.number(0, 9)) for _ in range(10))
    return draw.any(
        (
            f"{digits[:3]}-{digits[3:6]}-{digits[6:]}",
            f"{digits[:3]}-{digits[3:7]}",
            f"+{digits[:2]} {digits[2:]}",
        )
    )


def price(draw: Draw) -> str:
    """Return an amount of money as digits: '19.99', '250', '0.5'."""
    whole = draw.number(1, draw.any((9, 99, 999, 9999)))
    return draw.any(
        (
            str(whole),
            f"{whole}.{draw.any(('99', '95', '50', '5', '25'))}",
            f"{whole}.{draw.number(1, 9)}{draw.number(1, 9)}",
        )
    )


def date(draw: Draw) -> str:
    """Return a date in one of several spellings."""
    year, month, day = draw.number(1950, 2035), draw.number(1, 12), draw.number(1, 28)
    name = MONTHS[month - 1]
    return draw.any(
        (f"{year}-{month:02}-{day:02}", f"{name} {day}, {year}", f"{day} {name} {year}", f"{month:02}/{day:02}/{year}",
         f"{name} {day}", f"{year}-{month:02}-{day:02}")
    )  # fmt: skip


def clock(draw: Draw) -> str:
    """Return a time of day."""
    hour, minute = draw.number(1, 12), draw.any(("00", "15", "30", "45", "05", "20", "50"))
    half = draw.any(("am", "pm"))
    return draw.any(
        (
            f"{hour}:{minute} {half}",
            f"{hour} {half}",
            f"{draw.number(0, 23):02}:{minute}",
            f"{hour}:{minute}",
        )
    )


def code(draw: Draw) -> str:
    """Return an order number or another code."""
    letters = "".join(draw.any("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(draw.number(1, 3)))
    digits = "".join(str(draw.number(0, 9)) for _ in range(draw.number(2, 6)))
    return draw.any((f"{letters}-{digits}", f"{letters}{digits}", digits, f"#{digits}"))


def street(draw: Draw) -> str:
    """Return a street address."""
    name = draw.any(
        (
            made_up_name(draw),
            last_name(draw),
            draw.any(("Main", "Oak", "Park", "High", "River", "Church")),
        )
    )
    return (
        f"{draw.number(1, 999)} {name} {draw.any(('Street', 'Road', 'Avenue', 'Lane', 'Square'))}"
    )
