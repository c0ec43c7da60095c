"""E-mail that the stand-in's rules accept."""

SENDER = "news@platform.test"


def letter(*people, **more):
    return {
        "personalizations": [{"to": [{"email": one}], "custom_args": {"thanos_message": f"m-{one}"}} for one in people],
        "from": {"email": SENDER, "name": "Platform"},
        "subject": "Hi",
        "content": [{"type": "text/html", "value": '<p>Hello</p><a href="https://shop.example/a?b=1&amp;c=2">Shop</a>'}],
        **more,
    }


def send(client, *people, **more):
    return client.post("/v3/mail/send", json=letter(*people, **more))
