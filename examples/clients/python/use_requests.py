import kit
import requests


def connect(url, headers):
    with requests.get(url, headers=headers, stream=True, timeout=(10, 100)) as response:  # needs
        kit.check(response.status_code)
        yield from response.iter_content(None)


kit.run(connect)
