"""OpenAI's API over HTTP: chats and raw text in, the model's words out. Needs the extra `serve`.

paths         the paths, and what each answers
door          who is let in: hosts, origins, the key
request_body  what a client asks for, checked
chat_prompt   messages or text → token ids, as the chat template frames them
choice        one reply while it is drawn: stop strings, logit_bias, logprobs
choices       the replies to a request, all at once, for asyncio
answers       replies as OpenAI's JSON
refusal       errors as OpenAI's JSON
metrics       counts for Prometheus
listening     a server on a port, until a signal ends it
"""
