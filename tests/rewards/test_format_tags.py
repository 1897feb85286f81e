"""Format and tags rewards against an independent definition, on random tag soups."""

from hypothesis import example, given
from hypothesis import strategies as st

from omnithinker.rewards.answers import last_answer, strip_think
from omnithinker.rewards.format_tags import MARKERS, Format, Tags, tag_share, well_formed
from omnithinker.types import Prompt, Trajectory

SOUPS = st.lists(st.sampled_from([*MARKERS, " ", "\n", "a", "12", "<", ">", "think", "</"]), max_size=14).map("".join)


def split_tokens(text: str) -> list[str]:
    """Markers and single other characters, in order."""
    tokens: list[str] = []
    while text:
        token = next((marker for marker in MARKERS if text.startswith(marker)), text[0])
        tokens.append(token)
        text = text[len(token) :]
    return tokens


def reference_well_formed(text: str) -> bool:
    """A little machine: outside, thinking, between, answering, done."""
    state = 0
    for token in split_tokens(text):
        if token in MARKERS:
            if state >= 4 or token != MARKERS[state]:
                return False
            state += 1
        elif state in (0, 2, 4) and not token.isspace():
            return False
    return state == 4


@given(SOUPS)
def test_format_agrees_with_a_state_machine(text: str) -> None:
    assert well_formed(text) == reference_well_formed(text)


@given(SOUPS)
def test_tags_count_markers_that_occur_once(text: str) -> None:
    tokens = split_tokens(text)
    assert tag_share(text) == sum(tokens.count(marker) == 1 for marker in MARKERS) / 4


@given(SOUPS)
def test_well_formed_text_has_all_tags_and_an_answer(text: str) -> None:
    if well_formed(text):
        assert tag_share(text) == 1.0
        assert last_answer(text) == text.split("<answer>")[1].split("</answer>")[0].strip()


@given(SOUPS, st.text(alphabet="ab \n", max_size=5), st.text(alphabet="ab \n", max_size=5))
def test_a_final_answer_is_always_found_and_is_the_last(soup: str, body: str, tail: str) -> None:
    assert last_answer(f"{soup}<answer>{body}</answer>{tail}") == body.strip()


@given(SOUPS)
@example("</think<think></think>>")
@example("<th<think>a</think>ink>b")
def test_stripped_text_holds_no_think_marker(text: str) -> None:
    stripped = strip_think(text)
    assert "<think>" not in stripped
    assert "</think>" not in stripped


def test_values_of_a_group() -> None:
    texts = [
        "<think>a</think><answer>b</answer>",
        " <think>a</think>\n<answer>b</answer>\n",
        "<think>a</think> so <answer>b</answer>",
        "<answer>b</answer><think>a</think>",
        "<think><answer>b</answer></think>",
        "<think>a</think><answer>b</answer><answer>c</answer>",
        "<think>a",
        "",
    ]
    prompt, group = Prompt(task="t", index=0, text=""), [Trajectory(text=text) for text in texts]
    assert Format().score_group(prompt, group) == [1, 1, 0, 0, 0, 0, 0, 0]
    assert Tags().score_group(prompt, group) == [1, 1, 1, 1, 1, 0.5, 0.25, 0]


def test_last_answer_and_the_text_without_thinking() -> None:
    assert last_answer("no tags") is None
    assert last_answer("<answer>12") is None
    assert last_answer("<answer>1</answer> <answer> 2 </answer>") == "2"
    assert last_answer("<answer>1<answer>2</answer>") == "2"
    assert last_answer("<answer>5</answer></answer>") == "5"
    assert strip_think("<think>a</think> b <think>c<think>d</think> e") == "b  e"
    assert strip_think("b <think>c<think>d</think>leaked</think> e") == "e"
    assert strip_think("opened by the template</think> text") == "text"
    assert strip_think("text <think>cut off") == "text"


def test_scan_of_many_openings_is_linear() -> None:
    # 2 * 10^6 characters; a quadratic scan would need 10^11 steps and never end.
    assert last_answer("<answer>" * 250_000) is None
    assert strip_think("<think>" * 250_000) == ""
