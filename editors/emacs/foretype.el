;;; foretype.el --- Inline code completion on your own machine -*- lexical-binding: t; -*-

;; Package-Requires: ((emacs "28.1"))
;; Version: 0.1.0
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Two ways, one for each language client:
;;
;;   eglot      (foretype-setup 'eglot): wherever nothing else starts a language client
;;   lsp-mode   (foretype-setup 'lsp-mode): everywhere, beside other servers
;;
;; eglot runs one server for a buffer.  `foretype-eglot-ensure' in a mode's hook gives that place
;; to foretype, whatever else would have it; `foretype-lsp-setup' leaves starting `lsp' to you.
;;
;; `foretype-mode' asks, shows and puts in.  eglot knows no inline completion; lsp-mode 10 does,
;; but waits two and a half seconds after each key and forgets what is typed along.
;;
;; In foretype-mode, while there is a suggestion: TAB accepts it, M-<right> a word of it, M-<down>
;; a line of it, M-n and M-p show another, C-g dismisses it.  Typing along keeps it.
;; The next edit (what you just changed, where it is due again) is drawn in grey: TAB goes there,
;; TAB again makes it, C-g hides it for good; `foretype-next-edit' asks for one by hand.
;;
;; `foretype-ask' asks where nothing is shown, `foretype-why' says why that is, `foretype-show'
;; sets how much is shown, `foretype-stats' tells what became of it; all are in the menu of the mode.

;;; Code:

(require 'cl-lib)
(require 'subr-x)

(defvar eglot-server-programs)
(defvar lsp--cur-workspace)
(defvar lsp-inline-completion-enable)
(defvar lsp-managed-mode)
(declare-function eglot-current-server "eglot")
(declare-function eglot-ensure "eglot")
(declare-function eglot--server-info "eglot")
(declare-function eglot--TextDocumentPositionParams "eglot")
(declare-function eglot--VersionedTextDocumentIdentifier "eglot")
(declare-function eglot--signal-textDocument/didChange "eglot")
(declare-function eglot--lsp-position-to-point "eglot")
(declare-function eglot-lsp-position-to-point "eglot")
(declare-function eglot--managed-mode "eglot")
(declare-function eglot-shutdown "eglot")
(declare-function jsonrpc-async-request "jsonrpc")
(declare-function lsp-workspace-restart "lsp-mode")
(declare-function lsp-register-client "lsp-mode")
(declare-function make-lsp-client "lsp-mode")
(declare-function lsp-stdio-connection "lsp-mode")
(declare-function lsp-activate-on "lsp-mode")
(declare-function lsp-workspaces "lsp-mode")
(declare-function lsp-deferred "lsp-mode")
(declare-function lsp-request-async "lsp-mode")
(declare-function lsp-inline-completion-mode "lsp-inline-completion")
(declare-function lsp--client-server-id "lsp-mode")
(declare-function lsp--workspace-client "lsp-mode")
(declare-function lsp--workspace-status "lsp-mode")
(declare-function lsp--text-document-position-params "lsp-mode")
(declare-function lsp--versioned-text-document-identifier "lsp-mode")
(declare-function lsp--line-character-to-point "lsp-mode")

(defgroup foretype nil "Inline code completion on your own machine." :group 'convenience)

(defcustom foretype-command '("foretype" "lsp")
  "The server's program and arguments."
  :type '(repeat string) :risky t)

(defcustom foretype-settings nil
  "Options of the server, a plist such as (:show \"quiet\")."
  :type 'plist :risky t)

(defcustom foretype-languages '("python" "javascript" "typescript" "go" "rust" "java" "c" "cpp")
  "Languages that lsp-mode starts the server for."
  :type '(repeat string))

(defcustom foretype-delay 0.1
  "Seconds from the last key to the question, in `foretype-mode'."
  :type 'number)

(defface foretype-ghost '((t :inherit shadow :slant italic))
  "The text on offer.")

(defface foretype-old '((t :inherit diff-removed :strike-through t))
  "What the next edit takes away.")

;;; What is on offer

(defvar-local foretype--items nil
  "Texts on offer: where each begins, the text, what it replaces after point.")
(defvar-local foretype--index 0)
(defvar-local foretype--is-all nil "Whether they were asked for by hand: all that there are.")
(defvar-local foretype--after nil "The rest of the line after the cursor, when it was asked.")
(defvar-local foretype--overlay nil)
(defvar-local foretype--timer nil)
(defvar-local foretype--tick 0 "Counts questions; answers to older ones are dropped.")
(defvar-local foretype--text-tick nil "The buffer's own tick after the last command.")
(defvar-local foretype--dismissed nil "Buffer tick and point where nothing is wanted.")
(defvar-local foretype--edit nil "The next edit: the buffer's tick, where it begins and ends, text.")
(defvar-local foretype--edit-overlays nil)
(defvar foretype-mode)
(defvar-local foretype--edit-question 0 "Counts questions for it; an answer to any but the newest is dropped.")
(defvar foretype--buffer nil "Where the last command was run.")
(defvar-local foretype--changed-line nil "Where the last change was; nil when it was asked about.")

(defvar foretype-active-map
  (let ((map (make-sparse-keymap)))
    (define-key map (kbd "TAB") #'foretype-accept)
    (define-key map (kbd "M-<right>") #'foretype-accept-word)
    (define-key map (kbd "M-<down>") #'foretype-accept-line)
    (define-key map (kbd "M-n") #'foretype-next)
    (define-key map (kbd "M-p") #'foretype-previous)
    (define-key map (kbd "C-g") #'foretype-dismiss)
    map)
  "Keys while there is a suggestion.")

(defvar-local foretype--is-showing nil)
(add-to-list 'minor-mode-map-alist (cons 'foretype--is-showing foretype-active-map))

(defun foretype--over ()
  "Return what the text on offer replaces after the cursor."
  (nth 2 (nth foretype--index foretype--items)))

(defun foretype--rest ()
  "Return the rest of the line."
  (buffer-substring-no-properties (point) (line-end-position)))

(defun foretype--left ()
  "Return what is left of the text on offer, or nil."
  (pcase-let ((`(,start ,text . ,_) (nth foretype--index foretype--items)))
    (when (and start (<= (point-min) start (point)) (equal (foretype--rest) foretype--after))
      (let ((typed (buffer-substring-no-properties start (point))))
        (when (and (string-prefix-p typed text) (< (length typed) (length text)))
          (substring text (length typed)))))))

(defun foretype--clear ()
  "Forget what is on offer."
  (when foretype--overlay (delete-overlay foretype--overlay))
  (setq foretype--items nil foretype--index 0 foretype--is-all nil foretype--is-showing nil))

(defun foretype--draw ()
  "Draw what is left; nil if nothing is."
  (let ((left (foretype--left)))
    (if (null left)
        (progn (foretype--clear) nil)
      (let ((shown (copy-sequence (string-remove-suffix (foretype--over) left))))
        (foretype--clear-edit)
        (unless foretype--overlay (setq foretype--overlay (make-overlay (point) (point))))
        (move-overlay foretype--overlay (point) (point) (current-buffer))
        (setq shown (propertize shown 'face 'foretype-ghost))
        (unless (string-empty-p shown) (put-text-property 0 1 'cursor t shown))
        (overlay-put foretype--overlay 'after-string shown)
        (setq foretype--is-showing t)))))

;;; The language clients

(defun foretype--workspace ()
  "Return lsp-mode's workspace of our server for this buffer, if there is one."
  (and (bound-and-true-p lsp-managed-mode)
       (seq-find (lambda (workspace)
                   (and (eq 'foretype (lsp--client-server-id (lsp--workspace-client workspace)))
                        (eq 'initialized (lsp--workspace-status workspace))))
                 (lsp-workspaces))))

(defun foretype--eglot ()
  "Return eglot's server of this buffer, if it is ours."
  (when-let* ((server (and (fboundp 'eglot-current-server) (eglot-current-server))))
    (and (equal "foretype" (plist-get (eglot--server-info server) :name)) server)))

(defun foretype--get (object key)
  "Return the member KEY of OBJECT, a plist or one of lsp-mode's hash tables."
  (if (hash-table-p object)
      (gethash (substring (symbol-name key) 1) object)
    (plist-get object key)))

(defun foretype--point-of (position)
  "Return the buffer position of the protocol's POSITION."
  (cond ((foretype--workspace)
         (lsp--line-character-to-point (foretype--get position :line)
                                       (foretype--get position :character)))
        ((fboundp 'eglot-lsp-position-to-point) (eglot-lsp-position-to-point position))
        (t (eglot--lsp-position-to-point position))))

(defun foretype--request (method params on-answer)
  "Send the server METHOD with PARAMS; ON-ANSWER takes its answer.
Return nil if there is no server."
  (if-let* ((workspace (foretype--workspace)))
      (let ((lsp--cur-workspace workspace))
        (lsp-request-async method params on-answer :mode 'detached :error-handler #'ignore
                           :cancel-token (intern method))
        t)
    (when-let* ((server (foretype--eglot)))
      (jsonrpc-async-request server (intern (concat ":" method)) params :success-fn on-answer
                             :error-fn #'ignore :timeout-fn #'ignore :deferred nil)
      t)))

(defun foretype--ask-server (method kind on-answer)
  "Ask the server by METHOD about the place at point; KIND is 1 by hand, else 2.
ON-ANSWER takes its answer."
  (pcase-let ((`(,document . ,place)
               (cond ((foretype--workspace)
                      (cons (lsp--versioned-text-document-identifier)
                            (lsp--text-document-position-params)))
                     ((foretype--eglot)
                      (eglot--signal-textDocument/didChange)
                      (cons (eglot--VersionedTextDocumentIdentifier)
                            (eglot--TextDocumentPositionParams))))))
    (when place
      (foretype--request method
                         `(:textDocument ,document :position ,(plist-get place :position)
                           :context (:triggerKind ,kind))
                         on-answer))))

(defun foretype--complete (kind on-answer)
  "Ask for completions at point; KIND is 1 by hand, else 2.
ON-ANSWER takes the answer."
  (foretype--ask-server "textDocument/inlineCompletion" kind on-answer))

(defun foretype--item (item)
  "Return the protocol's ITEM as an element of `foretype--items'."
  (let ((range (foretype--get item :range)))
    (list (foretype--point-of (foretype--get range :start))
          (string-replace "\r\n" "\n" (foretype--get item :insertText))
          (buffer-substring-no-properties
           (point) (max (point) (min (foretype--point-of (foretype--get range :end))
                                     (line-end-position)))))))

(defun foretype--receive (answer step)
  "Show ANSWER; by hand, show the one STEP after what is in view."
  (let ((seen (foretype--left)))
    (foretype--clear)
    (setq foretype--items
          (mapcar #'foretype--item
                  (append (if (vectorp answer) answer (foretype--get answer :items)) nil))
          foretype--is-all (and step t)
          foretype--after (foretype--rest))
    (cond (foretype--items
           (when (and step seen (equal seen (foretype--left))) (foretype--turn step))
           (foretype--draw))
          (step (message "foretype: nothing to suggest here; M-x foretype-why says more")))))

(defun foretype--turn (step)
  "Go STEP texts on, to one that still fits."
  (let ((before foretype--index) (found nil))
    (while (not found)
      (setq foretype--index (mod (+ foretype--index step) (length foretype--items))
            found (or (foretype--left) (= foretype--index before))))
    (when (= foretype--index before)
      (message "foretype: there is no other suggestion here"))))

(defun foretype--ask (buffer tick &optional step)
  "Ask for BUFFER, unless TICK is no longer the newest question; with STEP by hand."
  (when (and (buffer-live-p buffer) (eq buffer (window-buffer)))
    (with-current-buffer buffer
      (when (= tick foretype--tick)
        (let ((place (point)))
          (unless (foretype--complete
                   (if step 1 2)
                   (lambda (answer)
                     (when (buffer-live-p buffer)
                       (with-current-buffer buffer
                         (when (and answer (= place (point)) (= tick foretype--tick))
                           (foretype--receive answer step)
                           (unless (or step foretype--items) (foretype--ask-edit 2)))))))
            (when step (message "foretype: no server serves this buffer"))))))))

(defun foretype--managed ()
  "Ask in a buffer that a language client has begun to manage, the first time."
  (remove-hook 'eglot-managed-mode-hook #'foretype--managed t)
  (foretype--ask (current-buffer) (cl-incf foretype--tick)))

(defun foretype--place ()
  "Return what identifies the text and the cursor in it."
  (cons (buffer-chars-modified-tick) (point)))

(defun foretype--after-command ()
  "Keep what still fits, or ask anew if the text was changed."
  (let ((has-changed (not (eql foretype--text-tick (buffer-chars-modified-tick)))))
    (setq foretype--text-tick (buffer-chars-modified-tick))
    (cond (has-changed (setq foretype--changed-line (line-number-at-pos nil t)))
          ((not (eq foretype--buffer (current-buffer)))
           (setq foretype--changed-line 0))) ; what was changed elsewhere may be due here
    (setq foretype--buffer (current-buffer))
    (when foretype--edit (foretype--draw-edit))
    (unless (or (and foretype--items (foretype--draw))
                (memq this-command '(foretype-ask foretype-next foretype-previous)))
      (cl-incf foretype--tick)
      (when (timerp foretype--timer) (cancel-timer foretype--timer))
      (cond ((or buffer-read-only (equal foretype--dismissed (foretype--place))
                 (memq this-command '(undo undo-only undo-redo))))
            (has-changed
             (setq foretype--timer
                   (run-with-timer foretype-delay nil #'foretype--ask (current-buffer)
                                   foretype--tick)))
            (foretype--changed-line ; the cursor moved on behind what was typed
             (setq foretype--timer
                   (run-with-timer foretype-delay nil #'foretype--ask-edit-in (current-buffer)
                                   foretype--tick)))))))

(defun foretype--accept (part)
  "Put in PART, a function of what is left."
  (when-let* ((left (foretype--left)))
    (let ((text (funcall part left)))
      (undo-boundary)
      (when (string= text left) (delete-char (length (foretype--over))))
      (insert text)
      (when (string= text left) (foretype--clear)))))

(defun foretype-accept ()
  "Accept the suggestion."
  (interactive)
  (foretype--accept #'identity))

(defun foretype-accept-word ()
  "Accept a word of the suggestion."
  (interactive)
  (foretype--accept
   (lambda (left)
     (if (string-match "\\`[[:space:]\n]*\\(?:[[:alnum:]_]+\\|[^[:alnum:]_[:space:]]+\\)" left)
         (match-string 0 left)
       left))))

(defun foretype-accept-line ()
  "Accept a line of the suggestion."
  (interactive)
  (foretype--accept (lambda (left) (string-match "\\`\n?.*" left) (match-string 0 left))))

(defun foretype--need-mode ()
  "Say so where `foretype-mode', which would take away again what is drawn, is off."
  (unless foretype-mode (user-error "foretype: off in this buffer; M-x foretype-mode")))

(defun foretype-next (&optional step)
  "Show the next suggestion, or the one STEP further; ask for all of them first."
  (interactive)
  (foretype--need-mode)
  (if (and foretype--is-all (foretype--left))
      (progn (foretype--turn (or step 1)) (foretype--draw))
    (setq foretype--dismissed nil)
    (foretype--ask (current-buffer) (cl-incf foretype--tick) (or step 1))))

(defalias 'foretype-ask #'foretype-next "Show what there is for this place, however unsure.")

(defun foretype-previous ()
  "Show the suggestion before this one."
  (interactive)
  (foretype-next -1))

(defun foretype-dismiss ()
  "Hide the suggestion until something changes."
  (interactive)
  (foretype--clear)
  (setq foretype--dismissed (foretype--place)))

(defun foretype-why ()
  "Say why there is what there is at point."
  (interactive)
  (let ((buffer (current-buffer)))
    (unless (foretype--complete
             2 (lambda (_)
                 (when (buffer-live-p buffer)
                   (with-current-buffer buffer
                     (foretype--request
                      "workspace/executeCommand" '(:command "foretype.why")
                      (lambda (told)
                        (message "foretype: %s" (or (foretype--get told :words)
                                                    (foretype--get told :outcome)))))))))
      (message "foretype: no server serves this buffer"))))

(defun foretype-show (how)
  "Show more or less from now on: HOW is eager, balanced, quiet or off."
  (interactive
   (list (completing-read "Show: " '("eager" "balanced" "quiet" "off") nil t)))
  (setq foretype-settings (plist-put foretype-settings :show how))
  (if-let* ((workspace (foretype--workspace)))
      (lsp-workspace-restart workspace)
    (when-let* ((server (foretype--eglot)))
      (eglot-shutdown server)
      (foretype-eglot-ensure))))

(defun foretype-stats ()
  "Show what was suggested lately and what became of it."
  (interactive)
  (with-help-window "*foretype stats*"
    (let ((at (cl-position "lsp" foretype-command :test #'equal)))
      (apply #'call-process (car foretype-command) nil standard-output nil
             (append (cl-subseq foretype-command 1 at) '("stats"))))))

;;; The next edit

(defvar foretype-edit-map
  (let ((map (make-sparse-keymap)))
    (define-key map (kbd "TAB") #'foretype-accept-edit)
    (define-key map (kbd "C-g") #'foretype-dismiss-edit)
    map)
  "Keys while a next edit is shown.")

(defvar-local foretype--is-edit-showing nil)
(add-to-list 'minor-mode-map-alist (cons 'foretype--is-edit-showing foretype-edit-map))

(defun foretype--clear-edit ()
  "Forget the next edit."
  (mapc #'delete-overlay foretype--edit-overlays)
  (setq foretype--edit nil foretype--edit-overlays nil foretype--is-edit-showing nil))

(defun foretype--common (one other)
  "Return how many characters ONE and OTHER begin with in common."
  (let ((same (compare-strings one nil nil other nil nil)))
    (if (eq same t) (length one) (1- (abs same)))))

(defun foretype--edit-overlay (start end &rest properties)
  "Draw PROPERTIES from START to END."
  (let ((overlay (make-overlay start end)))
    (while properties (overlay-put overlay (pop properties) (pop properties)))
    (push overlay foretype--edit-overlays)))

(defun foretype--is-at-edit ()
  "Say whether the cursor stands in a line of the next edit."
  (pcase-let ((`(,_ ,start ,end ,_) foretype--edit) (point (point)))
    (save-excursion
      (and (>= point (progn (goto-char start) (line-beginning-position)))
           (<= point (progn (goto-char end) (line-end-position)))))))

(defun foretype--draw-edit ()
  "Draw the next edit, if it is for the text as it is; else forget it."
  (pcase-let ((`(,tick ,start ,end ,text) foretype--edit))
    (mapc #'delete-overlay foretype--edit-overlays)
    (setq foretype--edit-overlays nil)
    (if (or foretype--items (/= tick (buffer-chars-modified-tick))
            (< start (point-min)) (> end (point-max))) ; the buffer was narrowed
        (foretype--clear-edit)
      (let* ((old (buffer-substring-no-properties start end))
             (head (foretype--common old text))
             (tail (foretype--common (reverse (substring old head)) (reverse (substring text head))))
             (new (propertize (substring text head (- (length text) tail)) 'face 'foretype-ghost)))
        (when (< (+ start head) (- end tail))
          (foretype--edit-overlay (+ start head) (- end tail) 'face 'foretype-old))
        (foretype--edit-overlay (- end tail) (- end tail) 'after-string new)
        (unless (foretype--is-at-edit)
          (let ((hint (format "  next edit: line %d" (line-number-at-pos start t))))
            (foretype--edit-overlay (line-end-position) (line-end-position) 'after-string
                                    (propertize hint 'face 'foretype-ghost))))
        (setq foretype--is-edit-showing t)))))

(defun foretype--ask-edit-in (buffer tick)
  "Ask for the next edit in BUFFER, unless something has happened since TICK."
  (when (buffer-live-p buffer)
    (with-current-buffer buffer
      (when (and (= tick foretype--tick) foretype--changed-line (not foretype--edit))
        (unless (= foretype--changed-line (line-number-at-pos nil t))
          (setq foretype--changed-line nil)) ; that was the last time
        (foretype--ask-edit 2)))))

(defun foretype--ask-edit (kind)
  "Ask for the next edit and draw it; KIND is 1 by hand, else 2.
Return nil without a server."
  (let ((buffer (current-buffer)) (tick (buffer-chars-modified-tick)) (commands foretype--tick)
        (question (cl-incf foretype--edit-question)))
    (foretype--ask-server
     "textDocument/copilotInlineEdit" kind
     (lambda (answer)
       (when (buffer-live-p buffer)
         (with-current-buffer buffer
           (when (and (= tick (buffer-chars-modified-tick)) (= question foretype--edit-question)
                      (or (= kind 1) (= commands foretype--tick)))
             (foretype--clear-edit)
             (if-let* ((edit (car (append (foretype--get answer :edits) nil)))
                       (range (foretype--get edit :range)))
                 (progn
                   (setq foretype--edit
                         (list tick (foretype--point-of (foretype--get range :start))
                               (foretype--point-of (foretype--get range :end))
                               (string-replace "\r\n" "\n" (foretype--get edit :text))))
                   (foretype--draw-edit))
               (when (= kind 1) (message "foretype: no edit is due here"))))))))))

(defun foretype-next-edit ()
  "Show the next edit, however unsure."
  (interactive)
  (foretype--need-mode)
  (foretype--clear)
  (setq foretype--changed-line nil) ; a question of its own would end this one
  (unless (foretype--ask-edit 1) (message "foretype: no server serves this buffer")))

(defun foretype-accept-edit ()
  "Go to the next edit; where the cursor is there already, make it."
  (interactive)
  (pcase-let ((`(,_ ,start ,end ,text) foretype--edit))
    (if (not (foretype--is-at-edit))
        (progn (push-mark nil t) (goto-char start) (back-to-indentation))
      (foretype--clear-edit)
      (undo-boundary)
      (goto-char start)
      (delete-region start end)
      (insert text)
      (when (bolp) (goto-char start))
      (back-to-indentation))))

(defun foretype-dismiss-edit ()
  "Hide the next edit for good."
  (interactive)
  (cl-incf foretype--edit-question) ; an answer on its way may be the same edit
  (foretype--clear-edit)
  (foretype--request "workspace/executeCommand" '(:command "foretype.dismissNextEdit") #'ignore))

;; Where C-g meets Emacs in a process filter (another server's long answer, say), it ends that with
;; a quit, and its key is never looked up.
(defun foretype--on-quit (data &rest _)
  "Dismiss what is shown, where DATA is a quit that came to the top."
  (when (eq (car data) 'quit)
    (with-current-buffer (window-buffer)
      (cond (foretype--is-showing (foretype-dismiss))
            (foretype--is-edit-showing (foretype-dismiss-edit))))))

(defvar foretype-mode-map (make-sparse-keymap) "Holds the menu of `foretype-mode'.")

(easy-menu-define nil foretype-mode-map "Menu of `foretype-mode'."
  `("foretype"
    ["Ask here, or show another" foretype-ask]
    ["Next edit" foretype-next-edit]
    ["Why nothing here?" foretype-why]
    ("Show" ,@(mapcar (lambda (how) `[,how (foretype-show ,how)])
                      '("eager" "balanced" "quiet" "off")))
    ["Statistics" foretype-stats]
    ["Off in this buffer" (foretype-mode -1)]))

(defun foretype--off ()
  "End `foretype-mode' here."
  (foretype-mode -1))

;;;###autoload
(define-minor-mode foretype-mode
  "Show what foretype offers, in a buffer that eglot or lsp-mode manages."
  :lighter " ft"
  (if foretype-mode
      (progn
        (setq foretype--text-tick (buffer-chars-modified-tick))
        (add-function :before command-error-function #'foretype--on-quit)
        (add-hook 'post-command-hook #'foretype--after-command nil t)
        (add-hook 'change-major-mode-hook #'foretype--off nil t) ; it forgets what is drawn
        ;; The server may have come while something was typed.
        (add-hook 'eglot-managed-mode-hook #'foretype--managed nil t))
    (remove-hook 'eglot-managed-mode-hook #'foretype--managed t)
    (remove-hook 'post-command-hook #'foretype--after-command t)
    (remove-hook 'change-major-mode-hook #'foretype--off t)
    (when (timerp foretype--timer) (cancel-timer foretype--timer))
    (cl-incf foretype--tick) ; answers on their way are dropped
    (cl-incf foretype--edit-question)
    (foretype--clear)
    (foretype--clear-edit)))

;;; Setting up

(defun foretype--lsp-managed ()
  "Show what is on offer in a buffer that lsp-mode opens in our server."
  (when (foretype--workspace)
    ;; Its own display would show everything a second time.
    (setq-local lsp-inline-completion-enable nil)
    (when (bound-and-true-p lsp-inline-completion-mode) (lsp-inline-completion-mode -1))
    (foretype-mode 1)
    (foretype--ask (current-buffer) (cl-incf foretype--tick))))

;;;###autoload
(defun foretype-lsp-setup ()
  "Make lsp-mode start foretype beside other servers, and `foretype-mode' with it."
  (with-eval-after-load 'lsp-mode
    (lsp-register-client
     (make-lsp-client :new-connection (lsp-stdio-connection (lambda () foretype-command))
                      :activation-fn (apply #'lsp-activate-on foretype-languages)
                      :initialization-options (lambda () foretype-settings)
                      :add-on? t
                      :server-id 'foretype))
    (add-hook 'lsp-after-open-hook #'foretype--lsp-managed)))

;;;###autoload
(defun foretype-eglot-ensure ()
  "Start foretype by eglot for this buffer's mode, and `foretype-mode' with it."
  (require 'eglot)
  (setq-local eglot-server-programs
              (list (cons major-mode
                          (if foretype-settings
                              (append foretype-command
                                      (list :initializationOptions foretype-settings))
                            foretype-command))))
  (eglot-ensure)
  (foretype-mode 1))

;;; Setting up everything at once

(defconst foretype--modes
  '(python-mode python-ts-mode js-mode js-ts-mode typescript-mode typescript-ts-mode tsx-ts-mode
    go-mode go-ts-mode rust-mode rust-ts-mode java-mode java-ts-mode
    c-mode c-ts-mode c++-mode c++-ts-mode)
  "Modes of `foretype-languages', those of other packages too.")

(defvar foretype--said nil "What was said once and is not said again.")

(defun foretype--say-once (text)
  "Show TEXT, the first time."
  (unless (member text foretype--said)
    (push text foretype--said)
    (message "foretype: %s" text)))

(defun foretype--has-client ()
  "Say whether the hooks of this buffer's mode start a language client."
  (let ((mode major-mode) (found nil))
    (while (and mode (not found))
      (let ((hook (intern-soft (format "%s-hook" mode))))
        (setq found (and hook (boundp hook)
                         (seq-intersection (ensure-list (symbol-value hook))
                                           '(eglot-ensure foretype-eglot-ensure lsp lsp-deferred)))
              mode (get mode 'derived-mode-parent))))
    (car found)))

(defun foretype--has-program ()
  "Say whether the server is installed; if not, tell the user once."
  (or (executable-find (car foretype-command))
      (ignore (foretype--say-once (format "cannot run %s; install it, or take foretype out of the init file"
                                          (car foretype-command))))))

(defun foretype--start-eglot ()
  "Start foretype by eglot in this buffer, unless that is another server's place."
  (cond ((not buffer-file-name))
        ((eq 'eglot-ensure (foretype--has-client))
         (foretype--say-once
          "eglot runs one server for a buffer, and another one here; (foretype-setup 'lsp-mode) runs both"))
        ((foretype--has-client))
        ((not (foretype--has-program)))
        ((not (locate-library "eglot"))
         (foretype--say-once "needs eglot: M-x package-install RET eglot, or Emacs 29"))
        (t (foretype-eglot-ensure))))

(defun foretype--start-lsp ()
  "Start lsp-mode in this buffer, unless its mode's hooks do."
  (cond ((or (not buffer-file-name) (foretype--has-client) (not (foretype--has-program))))
        ((fboundp 'lsp-deferred) (lsp-deferred))
        (t (foretype--say-once "needs lsp-mode: M-x package-install RET lsp-mode"))))

;;;###autoload
(defun foretype-setup (&optional client)
  "Show suggestions wherever there can be some.
CLIENT is `eglot', the default, or `lsp-mode'."
  (when (eq client 'lsp-mode) (foretype-lsp-setup))
  (dolist (mode foretype--modes)
    ;; Late: what else these hooks start comes first.
    (add-hook (intern (format "%s-hook" mode))
              (if (eq client 'lsp-mode) #'foretype--start-lsp #'foretype--start-eglot) 90)))

(provide 'foretype)
;;; foretype.el ends here
