import aiohttp
import kit


async def connect(url, headers):
    timeout = aiohttp.ClientTimeout(total=None, sock_read=100)  # needs
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, headers=headers) as response:
        kit.check(response.status)
        async for chunk in response.content.iter_any():
            yield chunk


kit.run(connect)
