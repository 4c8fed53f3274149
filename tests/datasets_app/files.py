"""Small files of every known format, and the real ones in tests/data."""

import json
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"
EQ_12_JSON = DATA / "brightrun" / "EQ-12-conversations-demo.json"
EQ_12_JSONL = DATA / "brightrun" / "EQ-12-conversations-demo.jsonl"


def chat(question: str = "What are your hours?", answer: str = "From 9 to 17.", **more) -> dict:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, **more}


def pair(turn: int = 2, **more) -> dict:
    """A brightrun training pair whose history ends, as in real files, with the person's current turn."""
    asked = f"And in turn {turn}?"
    return {
        "id": f"fp_conversation_turn{turn}",
        "conversation_id": "fp_conversation",
        "turn_number": turn,
        "system_prompt": "You are kind.",
        "conversation_history": [
            {"turn": 1, "role": "user", "content": "Hello."},
            {"turn": 2, "role": "assistant", "content": "Hello to you."},
            {"turn": 3, "role": "user", "content": asked},
        ],
        "current_user_input": asked,
        "target_response": f"In turn {turn} too.",
    } | more


def json_lines(*rows) -> str:
    return "\n".join(row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)


def chats(count: int) -> str:
    return json_lines(*(chat(f"Question {number}?", f"Answer {number}.") for number in range(count)))
