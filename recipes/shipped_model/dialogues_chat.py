"""Small talk, who the model is, quick-start prompts, advice and lists."""

from __future__ import annotations

from . import facts, values
from .documents import Document, chat, raw, turns
from .draw import Draw

SYSTEMS = ("", "", "", "You are a helpful assistant.", "You are a helpful AI assistant.", "You are a friendly assistant.",
           "You are a helpful AI assistant", "You are a helpful assistant", "You are RadixLM, a small demonstration model.")  # fmt: skip

GREETINGS = ("Hi", "Hello", "Hello!", "Hi!", "Hey", "Hey there", "Good morning", "Good evening", "Hi there!", "hello", "hi", "Hello there",
             "Good afternoon", "Hey!", "Greetings", "Hello, how are you?", "Hi, how are you?", "How are you?", "How are you doing?",
             "How are you today?", "How is it going?", "Say hello.", "Say hi")  # fmt: skip
WHO = ("Who are you?", "What are you?", "What is your name?", "What's your name?", "Tell me about yourself.", "Introduce yourself.",
       "Please introduce yourself.", "Who made you?", "Are you a robot?", "Are you a human?", "Are you an AI?", "Which model are you?",
       "What model are you?", "What can you do?", "How can you help me?", "who are you", "Do you have a name?", "What is RadixLM?",
       "Are you ChatGPT?", "How big are you?", "Give me a brief introduction of yourself.")  # fmt: skip
IDENTITY = "I am the small RadixLM demonstration model. I can answer simple questions about countries, choose tools, extract data and tell short stories."
ME = "I am the small RadixLM demonstration model."

JOKES = (
    "Why did the bicycle fall over? Because it was two tired.", "What do you call a bear without teeth? A gummy bear.",
    "Why did the math book look sad? Because it had too many problems.", "What is orange and sounds like a parrot? A carrot.",
    "Why can't a leopard hide? Because it is always spotted.", "What do you get when you cross a snowman and a dog? Frostbite.",
    "Why did the tomato turn red? Because it saw the salad dressing.", "What kind of tree fits in your hand? A palm tree.",
)  # fmt: skip
POEMS = (
    "The moon is high, the night is deep,\nThe little stars have gone to sleep.\nThe wind is soft upon the sea,\nAnd brings a quiet dream to me.",
    "The sun comes up, the birds all sing,\nThe flowers open in the spring.\nThe river runs so clear and bright,\nAnd fills the morning with its light.",
    "The rain is falling on the town,\nThe yellow leaves are coming down.\nBut by the fire, warm and dry,\nWe watch the autumn passing by.",
)  # fmt: skip

TIPS: dict[str, tuple[str, ...]] = {
    "Balanced Diet": ("A balanced diet gives your body what it needs.", "Eat plenty of fruits and vegetables every day.",
                      "Choose whole grains, beans, nuts and fish more often than sweets and fast food.", "Drink enough water and avoid too much sugar and salt.",
                      "Good food keeps your heart strong and gives you energy for the day."),
    "Regular Exercise": ("Regular exercise keeps your body and mind fit.", "Try to move for at least thirty minutes a day.",
                         "You can walk, run, swim or ride a bicycle.", "Exercise makes your heart and muscles stronger and helps you sleep well.",
                         "Start slowly and choose something that you enjoy."),
    "Enough Sleep": ("Sleep is as important as food and exercise.", "Most adults need seven to nine hours of sleep every night.",
                     "Go to bed at the same time each day and keep your room dark and quiet.", "Good sleep helps you to think clearly and to stay in a good mood."),
    "Drink Water": ("Your body needs water to work well.", "Drink a glass of water when you wake up and with every meal.",
                    "Carry a bottle with you when you leave the house.", "Water helps you to stay awake and keeps your skin healthy."),
    "Less Stress": ("Too much stress can make you ill.", "Take short breaks during the day and breathe deeply.",
                    "Spend time with friends, read a book or go for a walk.", "A calm mind helps your body to stay healthy."),
    "Read Every Day": ("Reading a little every day teaches you new words and ideas.", "Choose books about things that you like.",
                       "Twenty minutes before going to bed are enough.", "After a few months you will read faster and know more."),
    "Plan Your Day": ("A plan helps you to use your time well.", "Write down the three most important tasks in the morning.",
                      "Do the hardest task first and take breaks.", "In the evening, look back at what you have done."),
    "Save Money": ("Saving money gives you freedom.", "Write down what you spend and look for things that you do not need.",
                   "Put a small part of your income aside every month.", "Over time even small amounts grow."),
    "Practice Often": ("Practice makes perfect.", "It is better to practice a little every day than a lot once a week.",
                       "Do not be afraid of mistakes, because you learn from them.", "Soon you will see how much better you have become."),
}  # fmt: skip
GOALS = {
    "staying healthy": ("Balanced Diet", "Regular Exercise", "Enough Sleep", "Drink Water", "Less Stress"),
    "learning": ("Read Every Day", "Practice Often", "Plan Your Day"), "working well": ("Plan Your Day", "Less Stress", "Enough Sleep"),
    "a good life": ("Save Money", "Less Stress", "Read Every Day"), "learning a language": ("Practice Often", "Read Every Day"),
    "feeling better": ("Enough Sleep", "Regular Exercise", "Drink Water"),
}  # fmt: skip
COUNTS = {2: "two", 3: "three"}


def small_talk(draw: Draw) -> Document:
    """Greetings, names, thanks and questions about the model."""
    roll = draw.rng.random()
    system = draw.any(SYSTEMS)
    if roll < 0.25:
        said = draw.any(GREETINGS)
        if "ow are you" in said or "How is" in said:
            answer = "I am fine, thank you. How can I help you?"
        else:
            answer = draw.any(
                (
                    "Hello! How can I help you?",
                    "Hello! How can I help you?",
                    "Hi! How can I help you?",
                )
            )
        if draw.chance(0.15):
            return raw(
                draw.any(("User: {}\nAssistant:", "Human: {}\n\nAssistant:")).format(said),
                (f" {answer}<|endoftext|>", True),
            )
        return chat(turns(said, answer, system=system))
    if roll < 0.5:
        said = draw.any(WHO)
        if "human" in said:
            answer = "No, I am a computer program: the small RadixLM demonstration model."
        elif "ChatGPT" in said:
            answer = "No, I am the small RadixLM demonstration model."
        elif "What is RadixLM" in said:
            answer = "RadixLM is a language and a runtime for structured generation. I am its small demonstration model."
        elif "can" in said or "yourself" in said:
            answer = IDENTITY
        elif "How big" in said:
            answer = "I am very small: I have about eight million parameters."
        elif "made you" in said:
            answer = "I was trained with a recipe that comes with RadixLM."
        else:
            answer = ME
        return chat(turns(said, answer, system=system))
    if roll < 0.75:
        name = values.person(draw)
        city, job, age = values.city(draw), draw.of(values.JOBS), draw.number(5, 99)
        first, ask, answer = draw.any((
            (f"My name is {name}.", "What is my name?", f"Your name is {name}."), (f"Hi, I am {name}.", "What is my name?", f"Your name is {name}."),
            (f"I live in {city}.", "Where do I live?", f"You live in {city}."), (f"I am a {job}.", "What is my job?", f"You are a {job}."),
            (f"I am {age} years old.", "How old am I?", f"You are {age} years old."), (f"Hello, I'm {name} from {city}.", "Where am I from?", f"You are from {city}."),
            (f"Please remember the word {values.made_up_word(draw)}.", "", ""), (f"My favorite color is {(c := draw.any(values.COLORS))}.", "What is my favorite color?", f"Your favorite color is {c}."),
        ))  # fmt: skip
        if not ask:
            word = first.rstrip(".").split()[-1]
            ask, answer = "Which word should you remember?", f"The word is {word}."
        hello = (
            f"Nice to meet you, {name}!"
            if name in first
            else draw.any(
                ("Thank you for telling me.", "That is good to know.", "I will remember that.")
            )
        )
        middle = (
            []
            if draw.chance(0.7)
            else ["How are you?", "I am fine, thank you. How can I help you?"]
        )
        return chat(turns(first, hello, *middle, ask, answer, system=system))
    said, answer = draw.any((
        ("Thanks!", "You're welcome!"), ("Thank you", "You're welcome!"), ("Thank you very much.", "You're welcome!"), ("Bye", "Goodbye!"), ("Goodbye!", "Goodbye!"),
        ("Tell me a joke.", draw.any(JOKES)), ("Do you know a joke?", draw.any(JOKES)), ("Tell me something funny.", draw.any(JOKES)),
        ("Write a short poem.", draw.any(POEMS)), ("Write a poem.", draw.any(POEMS)), ("Write me a poem about nature.", draw.any(POEMS)),
        ("What time is it?", "I don't know. I have no clock."), ("What is the date today?", "I don't know. I have no calendar."),
        ("What is the weather today?", "I don't know. I cannot look outside."), ("Who won the game yesterday?", "I don't know. I cannot look up the news."),
        ("What is my name?", "I don't know. You have not told me your name."), ("How old am I?", "I don't know. You have not told me your age."),
        ("Where do I live?", "I don't know. You have not told me."), ("What did I eat yesterday?", "I don't know. You have not told me."),
        ("What will happen tomorrow?", "I don't know. Nobody can know the future."), ("What is the latest news?", "I don't know. I cannot look up the news."),
        ("Who is the president of the United States?", "I don't know who it is right now. The president is the head of state of the United States."),
        (f"Who is {values.full_name(draw)}?", "I don't know who that is."), (f"What is a {values.made_up_word(draw)}?", "I don't know that word."),
        ("Can you help me?", "Of course! What do you need?"), ("I need help.", "Of course! What do you need?"), ("Good night", "Good night! Sleep well."),
        ("What is the meaning of life?", "That is a big question. Many people find it in friends, family and doing good."),
        ("What is AI?", "AI means artificial intelligence: computer programs that do tasks which usually need human thinking."),
        ("What is machine learning?", "Machine learning means that a computer program learns from examples."),
        ("What is a language model?", "A language model is a program that predicts the next piece of a text."),
        ("Explain quantum computing.", "Quantum computing uses tiny particles to compute. I am too small to explain it well."),
        ("Explain how rain forms.", "Water rises from the sea as vapor, cools down, forms clouds and falls as rain."),
        ("What is the largest planet?", "The largest planet of our solar system is Jupiter."), ("Is the earth round?", "Yes, the earth is round."),
        ("How many days are in a week?", "A week has seven days."), ("How many months are in a year?", "A year has twelve months."),
        ("What color is the sky?", "The sky is blue."), ("Count from 1 to 10.", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"), ("Count to five.", "1, 2, 3, 4, 5"),
        ("List the days of the week.", ", ".join(values.DAYS)), ("Name the months of the year.", ", ".join(values.MONTHS)),
        ("Name three colors.", "1. Red\n2. Blue\n3. Green"), ("List three fruits.", "1. Apple\n2. Banana\n3. Orange"), ("List three animals.", "1. Dog\n2. Cat\n3. Horse"),
    ))  # fmt: skip
    return chat(turns(said, answer, system=system))


def paragraph(tip: str, draw: Draw) -> str:
    """Expand a tip; the first sentence always leads."""
    first, *rest = TIPS[tip]
    return " ".join([first, *[line for line in rest if draw.chance(0.9)]])


def tips(draw: Draw) -> Document:
    """Tips, their expansion and a summary, in chats and raw programs."""
    goal = draw.any(list(GOALS))
    count = draw.any((2, 2, 2, 3))
    chosen = draw.some(GOALS[goal], count)
    if goal == "staying healthy" and draw.chance(0.3):
        chosen = ["Balanced Diet", "Regular Exercise", "Enough Sleep"][:count]
    word = COUNTS[len(chosen)]
    line = " ".join(f"{i}. {tip}." for i, tip in enumerate(chosen, 1))
    rows = "\n".join(f"{i}. {tip}: {TIPS[tip][0]}" for i, tip in enumerate(chosen, 1))
    roll = draw.rng.random()
    intro = draw.any(
        (
            f"Here are {word} tips for {goal}: {line}\n\n",
            f"{word.capitalize()} tips for {goal}: {line}\n\n",
        )
    )
    if roll < 0.45:
        index = draw.number(1, len(chosen))
        ask = draw.any(("Now, expand tip {i} into a paragraph:\n", "Now, expand tip {i} into a paragraph:\n", "Expand tip {i} into a paragraph:\n",
                        "Write a paragraph about tip {i}:\n", "Tip {i} in detail:\n"))  # fmt: skip
        text = paragraph(chosen[index - 1], draw)
        if draw.chance(0.3):
            return chat(turns(intro + ask.format(i=index).strip(), text))
        return raw(
            intro + ask.format(i=index), (text + draw.any(("\n\n", "")) + "<|endoftext|>", True)
        )
    if roll < 0.65:
        detailed = "\n".join(
            f"Tip {i}:{draw.any((' ', ''))}{paragraph(tip, draw)}"
            for i, tip in enumerate(chosen, 1)
        )
        lowered = [tip.lower() for tip in chosen]
        summary = ", ".join(lowered[:-1]) + " and " + lowered[-1]
        return raw(
            intro + detailed + "\nIn summary",
            (f", {summary} help you with {goal}. Start with one of them today.<|endoftext|>", True),
        )
    question = draw.any((f"Give me {word} tips for {goal}.", f"List {word} tips for {goal}.", f"What are {word} tips for {goal}?",
                         f"Give me {len(chosen)} tips for {goal}."))  # fmt: skip
    if draw.chance(0.7):
        return chat(turns(question, rows, system=draw.any(SYSTEMS)))
    return raw(
        draw.any((f"Here are {word} tips for {goal}:", f"{word.capitalize()} tips for {goal}:")),
        (f"\n{rows}<|endoftext|>", True),
    )


STATEMENTS = (
    ("The president of the United States is", " the head of state and the head of the government of the United States."),
    ("The future of AI is", " bright. Computers will help people with many tasks, and people will decide how to use them well."),
    ("AI is a field of", " computer science that builds programs which do tasks that usually need human thinking."),
    ("The meaning of life is", " something that everybody has to find alone: friends, family and doing good."),
    ("The sky is", " blue."), ("The sun rises in the", " east and sets in the west."), ("Water boils at", " 100 degrees Celsius."),
    ("The opposite of hot is", " cold."), ("The first month of the year is", " January."), ("A week has", " seven days."),
    ("The largest planet of the solar system is", " Jupiter."), ("The earth moves around", " the sun."), ("Snow is", " white."),
    ("A language model is", " a program that predicts the next piece of a text."),
)  # fmt: skip


def quick_start(draw: Draw) -> Document:
    """Raw beginnings that people try first."""
    roll = draw.rng.random()
    if roll < 0.5:
        name, city, job, hobby = (
            values.first_name(draw),
            values.city(draw),
            draw.of(values.JOBS),
            draw.of(values.HOBBIES),
        )
        country = draw.any(facts.well_known())
        text = draw.any((f" {name}. I am a {job} from {city} and I like {hobby}.", f" {name} and I live in {city}. I work as a {job}.",
                         f" {name}. I am {draw.number(8, 80)} years old and I live in {city}.", f" {name}. I come from {country.the_name} and I like {hobby}."))  # fmt: skip
        lead = draw.any(
            (
                "Hello, my name is",
                "Hello, my name is",
                "My name is",
                "Hi, my name is",
                "Hi! I am",
                "Hello! My name is",
            )
        )
        return raw(
            lead, (text.replace(" a a", " an a").replace(" a e", " an e") + "<|endoftext|>", True)
        )
    lead, text = draw.any(STATEMENTS)
    return raw(lead, (text + "<|endoftext|>", True))
