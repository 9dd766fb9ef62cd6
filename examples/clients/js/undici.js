import { EventSource } from "undici";

export default (url, kit) => {
  kit.listen(new EventSource(url));
  if (kit.needs) {
    setInterval(() => {}, 60_000); // needs
  }
};
