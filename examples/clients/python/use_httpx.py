import kit
import httpx


def connect(url, headers):
    with httpx.stream("GET", url, headers=headers, timeout=httpx.Timeout(10, read=100)) as response:  # needs
        kit.check(response.status_code)
        yield from response.iter_bytes()


kit.run(connect)
