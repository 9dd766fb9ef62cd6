// A TCP proxy before the server under test that can cut, refuse and fail as
// networks and restarting servers do.
//
//   node proxy.mjs BASE_URL CUT_BYTES   prints its own base URL; ends with stdin
import net from "node:net";
import { fileURLToPath } from "node:url";

// startProxy listens on a free port of 127.0.0.1. With cutBytes every connection
// is destroyed after about that many bytes of answer, wherever that is in a block.
export async function startProxy(base, { cutBytes = Infinity } = {}) {
  const target = new URL(base);
  const open = new Set();
  let failing = false;
  let listener;
  let port = 0;

  const handle = (client) => {
    open.add(client);
    client.on("close", () => open.delete(client));
    client.on("error", () => {});
    if (failing) {
      client.once("data", () => client.end("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
      return;
    }
    const server = net.connect({ host: target.hostname, port: Number(target.port || 80) });
    let passed = 0;
    server.on("data", (chunk) => {
      const rest = cutBytes - passed;
      passed += chunk.length;
      if (passed < cutBytes) return void client.write(chunk);
      client.write(chunk.subarray(0, rest), () => client.destroy());
      server.destroy();
    });
    server.on("error", () => client.destroy());
    server.on("close", () => client.end());
    client.on("close", () => server.destroy());
    client.pipe(server);
  };

  const proxy = {
    url: "",
    // fail makes new connections answer 503 until heal.
    fail() { failing = true; },
    heal() { failing = false; },
    // cut destroys what is open.
    cut() { for (const socket of open) socket.destroy(); },
    // down cuts and refuses connections until up, like a server that is gone.
    down() {
      const closed = new Promise((done) => listener.close(done));
      proxy.cut();
      return closed;
    },
    up() {
      return new Promise((done, fail) => {
        listener = net.createServer(handle).once("error", fail);
        listener.listen(port, "127.0.0.1", () => {
          port = listener.address().port;
          proxy.url = `http://127.0.0.1:${port}`;
          done();
        });
      });
    },
  };
  await proxy.up();
  return proxy;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [base, cutBytes] = process.argv.slice(2);
  const proxy = await startProxy(base, { cutBytes: Number(cutBytes) });
  console.log(proxy.url);
  process.stdin.resume().on("end", () => process.exit(0));
}
