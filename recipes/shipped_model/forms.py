"""Functions written as table rows: names, slots, what people say, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import questions, values
from .definitions import Call, Properties, definition
from .draw import Draw, Pool


@dataclass(frozen=True, slots=True)
class Form:
    """A function written as a table row: names, description, slots, requests, result and report.

    A slot is 'parameter=kind'; requests, result and report use the parameter in braces.
    """

    names: str
    description: str
    slots: str
    requests: Pool
    result: str
    report: str


FORMS = (
    Form("convert_currency exchange currency_converter", "Convert an amount of money between two currencies.",
         "amount=amount from_currency=money to_currency=money2", Pool(lines="""
            Convert {amount} {from_currency} to {to_currency}.
            How much is {amount} {from_currency} in {to_currency}?
            How many {to_currency} are {amount} {from_currency}?
            I have {amount} {from_currency}. What is that in {to_currency}?
            Please change {amount} {from_currency} into {to_currency}.
            What is {amount} {from_currency} worth in {to_currency}?
            Exchange {amount} {from_currency} for {to_currency}.
            What do I get in {to_currency} for {amount} {from_currency}?
            """), "{r}", "{amount} {from_currency} are {r} {to_currency}."),
    Form("set_timer start_timer timer", "Set a timer.", "minutes=count", Pool(lines="""
            Set a timer for {minutes} minutes.
            Start a timer of {minutes} minutes.
            Timer for {minutes} minutes, please.
            Please time {minutes} minutes for me.
            Tell me when {minutes} minutes are over.
            I need a {minutes} minute timer.
            Count down {minutes} minutes.
            Let me know in {minutes} minutes.
            """), '{"status": "ok"}', "The timer is set for {minutes} minutes."),
    Form("set_alarm create_alarm", "Set an alarm clock.", "time=clock", Pool(lines="""
            Wake me up at {time}.
            Set an alarm for {time}.
            Please set my alarm to {time}.
            I have to get up at {time}.
            Alarm at {time}, please.
            Can you wake me at {time}?
            Ring the alarm at {time}.
            """), '{"status": "ok"}', "The alarm is set for {time}."),
    Form("send_email email send_mail", "Send an email.", "to=email subject=topic", Pool(lines="""
            Send an email to {to} about {subject}.
            Write to {to} about {subject}.
            Email {to} about {subject}.
            Please send {to} a mail about {subject}.
            Can you write an email about {subject} to {to}?
            Contact {to} by mail about {subject}.
            Tell {to} about {subject} in an email.
            """), "sent", "I sent an email about {subject} to {to}."),
    Form("send_message text_contact message", "Send a text message to a contact.", "recipient=name text=topic", Pool(lines="""
            Send a message to {recipient} about {text}.
            Text {recipient} about {text}.
            Message {recipient} about {text}.
            Let {recipient} know about {text}.
            Please text {recipient} something about {text}.
            Write {recipient} a message about {text}.
            """), "delivered", "Your message about {text} was sent to {recipient}."),
    Form("book_flight search_flights find_flight", "Find a flight between two cities.", "origin=city destination=city date=date",
         Pool(lines="""
            Book a flight from {origin} to {destination} on {date}.
            Find a flight from {origin} to {destination} on {date}.
            I want to fly from {origin} to {destination} on {date}.
            Is there a flight to {destination} from {origin} on {date}?
            I need to get from {origin} to {destination} by plane on {date}.
            On {date} I fly from {origin} to {destination}. Please book it.
            Please look for flights from {origin} to {destination} on {date}.
            """), '{"flight": "{k}", "price": {r}}', "I found flight {k} from {origin} to {destination} for {r}."),
    Form("translate translate_text translator", "Translate a text into another language.", "text=word language=language",
         Pool(lines="""
            Translate {text} into {language}.
            How do you say {text} in {language}?
            What is {text} in {language}?
            Please translate {text} to {language}.
            Tell me the {language} word for {text}.
            What does one call {text} in {language}?
            Put {text} into {language}.
            """), "{m}", "In {language}, {text} is {m}."),
    Form("get_stock_price stock_price get_quote", "Get the price of a company's share.", "company=company", Pool(lines="""
            What is the stock price of {company}?
            How much is a share of {company}?
            Check the stock of {company}.
            Tell me the share price of {company}.
            How are the shares of {company} doing?
            What does {company} stock cost?
            Get me a quote for {company}.
            """), '{"price": {r}}', "The share price of {company} is {r}."),
    Form("create_event add_event schedule_meeting add_to_calendar", "Add an event to the calendar.", "title=topic date=date time=clock",
         Pool(lines="""
            Add {title} to my calendar on {date} at {time}.
            Schedule {title} for {date} at {time}.
            Plan {title} on {date} at {time}.
            Put {title} on {date} at {time} in my calendar.
            I have {title} on {date} at {time}. Please note it.
            Create an event called {title} on {date} at {time}.
            """), '{"status": "created"}', "I added {title} on {date} at {time}."),
    Form("play_music play_song play", "Play a song.", "artist=name", Pool(lines="""
            Play a song by {artist}.
            Play something by {artist}.
            I want to hear {artist}.
            Put on some music by {artist}.
            Please play {artist}.
            Let me listen to {artist}.
            """), "playing", "I am playing music by {artist}."),
    Form("get_population city_population population", "Get the number of people who live in a city.", "city=city", Pool(lines="""
            How many people live in {city}?
            What is the population of {city}?
            How big is {city}?
            How many inhabitants does {city} have?
            Tell me the population of {city}.
            Population of {city}?
            """), "{r}", "{city} has {r} inhabitants."),
    Form("get_time current_time get_current_time", "Get the current time in a city.", "city=city", Pool(lines="""
            What time is it in {city}?
            Tell me the time in {city}.
            What is the current time in {city}?
            How late is it in {city}?
            Can you give me the time in {city}?
            Which time do they have in {city} now?
            """), "{o}", "It is {o} in {city}."),
    Form("get_order_status track_order order_status", "Look up the status of an order.", "order_id=code", Pool(lines="""
            Where is my order {order_id}?
            What is the status of order {order_id}?
            Track order {order_id}.
            Has order {order_id} been shipped?
            Please check my order {order_id}.
            When does order {order_id} arrive?
            I am waiting for order {order_id}.
            """), '{"status": "shipped"}', "Your order {order_id} has been shipped."),
    Form("get_directions route navigate", "Get directions from one place to another.", "origin=city destination=city", Pool(lines="""
            How do I get from {origin} to {destination}?
            Show me the way from {origin} to {destination}.
            What is the route from {origin} to {destination}?
            I want to drive from {origin} to {destination}.
            Give me directions from {origin} to {destination}.
            How far is it from {origin} to {destination}?
            """), '{"distance": "{r} km"}', "It is {r} km from {origin} to {destination}."),
    Form("book_table reserve_table make_reservation", "Reserve a table in a restaurant.", "name=name people=small time=clock",
         Pool(lines="""
            Book a table for {people} at {time} under the name {name}.
            Reserve a table at {time} for {people} people, name {name}.
            I need a table for {people} people at {time}. My name is {name}.
            Table for {people} at {time}, please. The name is {name}.
            Please make a reservation for {name}, {people} people, {time}.
            """), '{"confirmed": true}', "A table for {people} is reserved at {time} for {name}."),
    Form("get_product_price lookup_price find_product", "Get the price of a product in the shop.", "product=product", Pool(lines="""
            How much is the {product}?
            What does the {product} cost?
            What is the price of the {product}?
            I want to buy a {product}. How much is it?
            Check the price of the {product}.
            Do you have a {product}, and what does it cost?
            """), '{"price": {r}}', "The {product} costs {r}."),
    Form("turn_on_light switch_on_light light_on", "Turn on the light in a room.", "room=room", Pool(lines="""
            Turn on the light in the {room}.
            Switch on the light in the {room}.
            It is dark in the {room}.
            Lights on in the {room}, please.
            I need light in the {room}.
            Make it bright in the {room}.
            """), '{"status": "on"}', "The light in the {room} is on."),
    Form("set_temperature set_thermostat heat", "Set the temperature in a room, in degrees.", "room=room degrees=small2", Pool(lines="""
            Set the {room} to {degrees} degrees.
            Make it {degrees} degrees in the {room}.
            Please heat the {room} to {degrees} degrees.
            I want {degrees} degrees in the {room}.
            The temperature in the {room} should be {degrees} degrees.
            """), '{"status": "ok"}', "The {room} is set to {degrees} degrees."),
    Form("add_contact save_contact create_contact", "Save a person's contact details.", "name=name email=email", Pool(lines="""
            Save {name} with the email {email}.
            Add {name} to my contacts. The email is {email}.
            {name}'s address is {email}. Please save it.
            New contact: {name}, {email}.
            Please store the contact {name} ({email}).
            """), '{"status": "saved"}', "I saved {name} with the address {email}."),
    Form("find_restaurant search_restaurants restaurants", "Find restaurants in a city.", "city=city cuisine=cuisine", Pool(lines="""
            Find a {cuisine} restaurant in {city}.
            Where can I eat {cuisine} food in {city}?
            I would like {cuisine} food in {city}.
            Which {cuisine} restaurants are there in {city}?
            Look for {cuisine} restaurants in {city}.
            """), '{"name": "{n}"}', "You can try {n} in {city}."),
)  # fmt: skip

ROOMS = (
    "kitchen",
    "bathroom",
    "bedroom",
    "living room",
    "office",
    "garage",
    "hall",
    "cellar",
    "garden",
    "attic",
)
CUISINES = (
    "Italian",
    "Indian",
    "Chinese",
    "Thai",
    "Mexican",
    "Greek",
    "French",
    "Japanese",
    "Turkish",
    "Spanish",
)

KINDS: dict[str, Callable[[Draw], Any]] = {
    "amount": lambda d: d.any((d.number(1, 9999), d.number(1, 99), float(f"{d.number(1, 99)}.{d.any('5279')}"))),
    "count": lambda d: d.number(1, d.any((9, 60, 240))),
    "small": lambda d: d.number(1, 12),
    "small2": lambda d: d.number(10, 30),
    "clock": values.clock,
    "email": values.email,
    "topic": lambda d: d.any((f"the {d.of(values.ADJECTIVES)} {d.of(values.THINGS)}", f"the {d.of(values.THINGS)}", d.of(values.HOBBIES),
                              f"{values.first_name(d)}'s birthday", "the meeting", f"the trip to {values.city(d)}")),
    "name": values.person,
    "city": values.city,
    "date": values.date,
    "word": lambda d: d.of(d.any((values.THINGS, values.ANIMALS, values.JOBS))) if d.chance(0.7) else values.made_up_word(d),
    "language": lambda d: d.any(questions.LANGUAGES),
    "company": values.company,
    "code": values.code,
    "product": values.product,
    "room": lambda d: d.any(ROOMS),
    "cuisine": lambda d: d.any(CUISINES),
}  # fmt: skip
INTEGERS = ("count", "small", "small2")


def from_form(draw: Draw, form: Form) -> Call:
    """Fill a row of the table."""
    pairs = [slot.split("=") for slot in form.slots.split()]
    money = draw.some(questions.MONEY, 2)
    arguments: dict[str, Any] = {}
    properties: Properties = {}
    for name, kind in pairs:
        made = money[0] if kind == "money" else money[1] if kind == "money2" else KINDS[kind](draw)
        arguments[name] = made
        kind_name = "integer" if kind in INTEGERS else "number" if kind == "amount" else "string"
        properties[name] = {"type": kind_name, "description": f"The {name.replace('_', ' ')}"}
    request = draw.of(form.requests).format(**arguments)
    amount = draw.any((str(draw.number(1, 99999)), values.price(draw)))
    extra = {
        "r": amount,
        "k": values.code(draw),
        "m": values.made_up_word(draw),
        "o": values.clock(draw),
        "n": values.made_up_name(draw),
    }
    result, report = form.result, form.report
    for key, text in {**{k: str(v) for k, v in arguments.items()}, **extra}.items():
        result, report = result.replace(f"{{{key}}}", text), report.replace(f"{{{key}}}", text)
    report = report[0].upper() + report[1:]
    shown = (
        dict(draw.some(list(properties.items()), len(properties)))
        if draw.chance(0.15)
        else properties
    )
    one = definition(draw, draw.any(form.names.split()), form.description, shown)
    return Call(request, one, {key: arguments[key] for key in shown}, result, report)
