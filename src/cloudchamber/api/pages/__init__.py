"""The hosted pages: signing in and up, consent, codes of devices, a new password, a device's set-up.

`shell` is what all of them share (cookies, forms, headers, templates); `account` signs people in and out; `authorize`,
`devices`, `applications`, `passwords` and `setup` are the pages. They show and read forms; what may be done is decided
by the services, as for the API.
"""
