"""The tokenizer: it knows every word of the world, loses nothing but case and spaces, and writes readable answers."""

import pytest

from grounded.config import GROUNDING_TOKEN
from grounded.prompts import CHATS, Turn, after_image, before_image
from grounded.tiny.conversations import in_bins
from grounded.tiny.world.questions import ask_all
from grounded.tiny.world.scenes import draw_scene
from grounded.tiny.world.vocabulary import MARKERS, UNKNOWN_TOKEN, build_tokenizer, vocabulary

BINS = 100
TOKENIZER = build_tokenizer(BINS)


@pytest.fixture(scope="module")
def turns():
    texts = []
    for seed in range(100):
        scene = draw_scene(seed)
        for wording in ("canonical", "training", "held_out"):  # the loose one has words that are spelt
            for question in ask_all(scene, wording):
                for turn in question.turns:
                    question, answer = (in_bins(text, scene.duration, BINS) for text in (turn.question, turn.answer))
                    texts.append(Turn(question, turn.grounding, answer))
    return texts


def test_no_word_of_thousands_of_texts_is_unknown(turns):
    unknown = TOKENIZER.token_to_id(UNKNOWN_TOKEN)
    assert len(turns) > 5000
    for encoding in TOKENIZER.encode_batch([after_image(CHATS["phi3.5"], [turn]) for turn in turns]):
        assert unknown not in encoding.ids
    assert unknown not in TOKENIZER.encode(before_image(CHATS["phi3.5"])).ids
    assert unknown in TOKENIZER.encode("红色").ids


def test_a_word_that_is_not_known_is_spelt_and_comes_back():
    assert TOKENIZER.encode("crcle growz").tokens == ["c", "##r", "##c", "##l", "##e", "grow", "##z"]
    assert TOKENIZER.decode(TOKENIZER.encode("A purple elephant growz.").ids) == "A purple elephant growz."


def test_no_other_word_is_cut(turns):
    spelt = [id for token, id in TOKENIZER.get_vocab().items() if token.startswith("##")]
    for encoding in TOKENIZER.encode_batch([turn.question for turn in turns]):
        assert not set(encoding.ids) & set(spelt)


def test_answers_come_back_exactly(turns):
    answers = sorted({turn.answer for turn in turns})
    ids = [encoding.ids for encoding in TOKENIZER.encode_batch(answers)]
    assert TOKENIZER.decode_batch(ids, skip_special_tokens=False) == answers


def test_questions_come_back_but_for_capitals_inside_a_line(turns):
    questions = sorted({turn.question for turn in turns})
    ids = [encoding.ids for encoding in TOKENIZER.encode_batch(questions)]
    assert [text.lower() for text in TOKENIZER.decode_batch(ids)] == [text.lower() for text in questions]


@pytest.mark.parametrize(
    "text",
    ["From <5> to <9>.", "From <0> to <5>, <7> to <100>.", "Answer: (B) a red circle moves left", "Not in the video.",
     "From <1> to <2>, a red circle moves left\nFrom <3> to <4>, an orange moon grows", "It spins clockwise.", "Two.",
     "I do not know.", "Nothing happens."],
)  # fmt: skip
def test_readable_answers(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


def test_case_does_not_matter_and_spaces_do_not():
    plain = TOKENIZER.encode("a red circle moves left from <3> to <9>.").ids
    assert TOKENIZER.encode("A RED circle  moves\tleft From<3> to<9> .").ids == plain


def test_text_cut_into_chunks_between_words_is_read_the_same():
    text = "Answer: (A) a red circle"
    for cut in (7, 8, 9, 10, 11, 12):
        assert TOKENIZER.encode(text[:cut]).ids + TOKENIZER.encode(text[cut:]).ids == TOKENIZER.encode(text).ids


def test_option_letters_are_tokens_of_their_own():
    for letter in "ABCDEFGH":
        assert TOKENIZER.encode(f"({letter})").tokens == ["(", letter.lower(), ")"]


def test_ids_are_words_then_markers_then_temporal_tokens_then_the_grounding_token():
    first = len(vocabulary())
    assert [TOKENIZER.token_to_id(marker) for marker in MARKERS] == list(range(first, first + len(MARKERS)))
    temporal = [TOKENIZER.token_to_id(f"<{k}>") for k in range(BINS + 1)]
    assert temporal == list(range(first + len(MARKERS), first + len(MARKERS) + BINS + 1))
    assert TOKENIZER.token_to_id(GROUNDING_TOKEN) == temporal[-1] + 1 == TOKENIZER.get_vocab_size() - 1
    assert TOKENIZER.token_to_id(UNKNOWN_TOKEN) == 0


def test_markers_are_special_and_temporal_tokens_are_not():
    ids = TOKENIZER.encode("From <3> to <9>.<|endoftext|>").ids
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == "From <3> to <9>."


def test_it_survives_being_saved(tmp_path):
    from tokenizers import Tokenizer

    TOKENIZER.save(str(tmp_path / "tokenizer.json"))
    text = "Answer: (B) a red circle moves left"
    loaded = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert loaded.decode(loaded.encode(text).ids) == text


def test_it_works_as_a_transformers_tokenizer():
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_object=build_tokenizer(BINS), unk_token=UNKNOWN_TOKEN)
    ids = fast("From <5> to <9>.").input_ids
    assert ids == TOKENIZER.encode("From <5> to <9>.").ids
    assert fast.decode(ids, clean_up_tokenization_spaces=False) == "From <5> to <9>."
