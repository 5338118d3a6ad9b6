"""Every endpoint of the API but a library's, called from a script: python examples/client.py [URL] [VIDEO]."""

from __future__ import annotations

import sys
from pathlib import Path

from gradio_client import Client, handle_file

HERE = Path(__file__).parent


def main(url: str = "http://127.0.0.1:7860", film: str = str(HERE / "film-3.mp4")) -> None:
    client = Client(url, verbose=False)
    video = handle_file(film)

    answer = client.predict(video=video, query="a white ring spins clockwise", best=2, api_name="/ground")
    for moment in answer["moments"]:
        print(f"ground   {moment['start']:.1f} s to {moment['end']:.1f} s, {100 * (moment['score'] or 0):.0f} % sure")
    print(f"         took {answer['seconds']} s; the video was {'known' if answer['cached'] else 'new'}")

    length = answer["duration"]
    print("refer   ", client.predict(video=video, start=0.1 * length, end=0.2 * length, api_name="/refer")["text"])

    question, options = "What happens first?", ["a white ring bounces", "a white ring spins clockwise"]
    chosen = client.predict(video=video, question=question, options=options, api_name="/choose")
    print("choose  ", chosen["choice"], [round(option["score"], 3) for option in chosen["options"]])

    captions = client.predict(video=video, api_name="/caption")
    for moment in captions["moments"]:
        print(f"caption  {moment['start']:.1f} s to {moment['end']:.1f} s: {moment['text']}")

    print("ask     ", client.predict(video=video, question="What is the last event?", api_name="/ask")["text"])

    print("export  ", client.predict(answers=[answer, captions], format="vtt", api_name="/export"))
    if answer["moments"]:
        print("export  ", client.predict(answers=[answer], format="mp4", video=video, api_name="/export"))


if __name__ == "__main__":
    main(*sys.argv[1:])
