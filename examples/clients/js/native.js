export default (url, kit) => kit.listen(new EventSource(url));
